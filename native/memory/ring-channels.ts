import type { Native, RingChannel } from '../interface.ts';
import type { Descriptors } from './descriptors.ts';
import { Devices } from './devices.ts';
import type { Listeners } from './listeners.ts';
import { nativeError } from './native-error.ts';
import { MemoryRingChannel } from './ring-channel.ts';

const CONTROL_PAGE_BYTES = 4096;

/** The ring channels of `MemoryNative`, with the host as a test plays it. */
export class MemoryRingChannels {
  private readonly fds: Descriptors;
  private readonly listeners: Listeners;
  private readonly devices = new Devices<RingChannel>();

  constructor(fds: Descriptors, listeners: Listeners) {
    this.fds = fds;
    this.listeners = listeners;
  }

  // ---- what a test scripts ----

  /**
   * A UIO device appears at `path`: each opening calls `accept` with the host's end, whose `close`
   * is a rescind.
   */
  readonly addUio = (path: string, accept: (host: RingChannel) => void): void => {
    this.devices.add(path, accept);
  };

  removeDevice(path: string): void {
    this.devices.remove(path);
  }

  /** The other side of `channel` finds its ring broken (ERING, `check`). */
  readonly breakRing = (channel: RingChannel, check: string): void => {
    if (channel instanceof MemoryRingChannel) {
      channel.peer?.fail({ reason: 'error', error: nativeError('ERING', check) });
    }
  };

  // ---- the contract ----

  readonly openUio: Native['openUio'] = (path, mapBytes) => {
    const uio = this.devices.open(path);
    if (mapBytes % (2 * CONTROL_PAGE_BYTES) !== 0 || mapBytes < 4 * CONTROL_PAGE_BYTES) {
      uio.release();
      throw nativeError('EINVAL', 'mmap', path);
    }
    const [guest, host] = this.pair(mapBytes / 2, uio.release);
    uio.accept(host);
    return guest;
  };

  /** There is nobody here to inherit from. */
  readonly adoptRingChannel: Native['adoptRingChannel'] = () => {
    throw nativeError('EBADF', 'fcntl');
  };

  /**
   * As nobody else can run meanwhile, the listener's callback is called from in here and has to
   * call `hostRing`.
   */
  readonly connectRingSocket: Native['connectRingSocket'] = (path) => {
    const accept = this.listeners.at(path);
    if (accept === undefined) throw nativeError('ENOENT', 'connect', path);
    let connected: MemoryRingChannel | undefined;
    accept({
      kind: 'ring',
      fd: this.fds.next(),
      host: (ringBytes) => {
        const [guest, host] = this.pair(ringBytes, () => {});
        connected = guest;
        return host;
      },
    });
    if (connected === undefined) throw nativeError('ETIMEDOUT', 'recvmsg', path);
    return connected;
  };

  readonly hostRing: Native['hostRing'] = (fd, ringBytes) => {
    const connection = this.listeners.connection(fd);
    if (connection?.kind !== 'ring') throw nativeError('EBADF', 'fcntl');
    if (ringBytes % CONTROL_PAGE_BYTES !== 0 || ringBytes < 2 * CONTROL_PAGE_BYTES)
      throw nativeError('EINVAL', 'mmap');
    this.listeners.forget(fd);
    return connection.host(ringBytes);
  };

  /** There is no shared memory here to break: see `breakRing`. */
  readonly ringMemory: Native['ringMemory'] = () => {
    throw nativeError('ENOTSUP', 'mmap');
  };

  private pair(ringBytes: number, release: () => void): [MemoryRingChannel, MemoryRingChannel] {
    const dataBytes = ringBytes - CONTROL_PAGE_BYTES;
    const guest = new MemoryRingChannel(this.fds.next(), dataBytes, false, release);
    const host = new MemoryRingChannel(this.fds.next(), dataBytes, true, () => {});
    guest.peer = host;
    host.peer = guest;
    return [guest, host];
  }
}
