import type { MessageChannel, Native } from '../interface.ts';
import type { Descriptors } from './descriptors.ts';
import { Devices } from './devices.ts';
import type { Listeners } from './listeners.ts';
import { MemoryMessageChannel } from './message-channel.ts';
import { nativeError } from './native-error.ts';
import { nextTurn } from './next-turn.ts';

/** The message channels of `MemoryNative`, with the kernel and the host as a test plays them. */
export class MemoryMessageChannels {
  private readonly fds: Descriptors;
  private readonly listeners: Listeners;
  private readonly devices = new Devices<MessageChannel>();

  constructor(fds: Descriptors, listeners: Listeners) {
    this.fds = fds;
    this.listeners = listeners;
  }

  // ---- what a test scripts ----

  /**
   * A char device appears at `path`: each opening calls `accept` with the kernel's end, whose
   * `close` destroys the device.
   */
  readonly addMessageDevice = (path: string, accept: (kernel: MessageChannel) => void): void => {
    this.devices.add(path, accept);
  };

  removeDevice(path: string): void {
    this.devices.remove(path);
  }

  /**
   * The next `write` on the other side of `channel` throws `code`: EINVAL is hv_utils that awaits
   * no reply.
   */
  readonly refuseNextWrite = (channel: MessageChannel, code: string): void => {
    if (channel instanceof MemoryMessageChannel) channel.peer?.refusals.push(code);
  };

  // ---- the contract ----

  readonly openMessageDevice: Native['openMessageDevice'] = (path) => {
    const device = this.devices.open(path);
    const [guest, kernel] = this.pair(device.release);
    device.accept(kernel);
    return guest;
  };

  readonly connectMessageSocket: Native['connectMessageSocket'] = (path) => {
    if (this.listeners.at(path) === undefined) throw nativeError('ENOENT', 'connect', path);
    const [guest, host] = this.pair(() => {});
    nextTurn(() => {
      const accept = this.listeners.at(path);
      if (accept) accept({ kind: 'message', fd: host.fd, host });
      else host.close();
    });
    return guest;
  };

  readonly adoptMessageChannel: Native['adoptMessageChannel'] = (fd) => {
    const connection = this.listeners.connection(fd);
    if (connection?.kind !== 'message') throw nativeError('EBADF', 'fcntl');
    this.listeners.forget(fd);
    return connection.host;
  };

  private pair(release: () => void): [MemoryMessageChannel, MemoryMessageChannel] {
    const guest = new MemoryMessageChannel(this.fds.next(), release);
    const host = new MemoryMessageChannel(this.fds.next(), () => {});
    guest.peer = host;
    host.peer = guest;
    return [guest, host];
  }
}
