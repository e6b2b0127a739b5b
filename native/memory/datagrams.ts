import type { Native } from '../interface.ts';

/** What `MemoryNative` sends to sockets of datagrams. */
export class MemoryDatagrams {
  /** Every notification, oldest first. */
  readonly notifications: { readonly socketPath: string; readonly message: string }[] = [];
  /** What `notify` returns. */
  notifyHeard = true;
  /** Every datagram sent to a socket that a test has opened with `hear`, oldest first. */
  readonly sent: { readonly socketPath: string; readonly bytes: Uint8Array }[] = [];
  private readonly sockets = new Set<string>();

  /** Somebody listens for datagrams on `path`. */
  readonly hear = (path: string): void => {
    this.sockets.add(path);
  };

  readonly notify: Native['notify'] = (socketPath, message) => {
    this.notifications.push({ socketPath, message });
    return this.notifyHeard;
  };

  readonly sendDatagram: Native['sendDatagram'] = (socketPath, bytes) => {
    if (!this.sockets.has(socketPath)) return false;
    this.sent.push({ socketPath, bytes: bytes.slice() });
    return true;
  };
}
