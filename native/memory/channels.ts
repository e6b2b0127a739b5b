import type { MessageChannel, Native, RingChannel } from '../interface.ts';
import type { Descriptors } from './descriptors.ts';
import { MemoryMessageChannel } from './message-channel.ts';
import { nativeError } from './native-error.ts';
import { nextTurn } from './next-turn.ts';
import { MemoryRingChannel } from './ring-channel.ts';

const CONTROL_PAGE_BYTES = 4096;

interface PendingConnection {
  readonly fd: number;
  /** The host's end, made when somebody takes the descriptor over. */
  readonly message?: MemoryMessageChannel;
  readonly ring?: (ringBytes: number) => MemoryRingChannel;
}

interface Device<Channel> {
  readonly accept: (host: Channel) => void;
  busy: boolean;
}

/** The channels of `MemoryNative`, with the kernel and the host as a test plays them. */
export class MemoryChannels {
  private readonly fds: Descriptors;
  private readonly devices = new Map<string, Device<MessageChannel>>();
  private readonly uios = new Map<string, Device<RingChannel>>();
  private readonly listeners = new Map<string, (connection: PendingConnection) => void>();
  private readonly connections = new Map<number, PendingConnection>();

  constructor(fds: Descriptors) {
    this.fds = fds;
  }

  // ---- what a test scripts ----

  /**
   * A char device appears at `path`: each opening calls `accept` with the kernel's end, whose
   * `close` destroys the device.
   */
  readonly addMessageDevice = (path: string, accept: (kernel: MessageChannel) => void): void => {
    this.devices.set(path, { accept, busy: false });
  };

  /**
   * A UIO device appears at `path`: each opening calls `accept` with the host's end, whose `close`
   * is a rescind.
   */
  readonly addUio = (path: string, accept: (host: RingChannel) => void): void => {
    this.uios.set(path, { accept, busy: false });
  };

  /** Opening `path` fails with ENOENT from now on; what is open stays open. */
  readonly removeDevice = (path: string): void => {
    this.devices.delete(path);
    this.uios.delete(path);
  };

  /**
   * The next `write` on the other side of `channel` throws `code`: EINVAL is hv_utils that awaits
   * no reply.
   */
  readonly refuseNextWrite = (channel: MessageChannel, code: string): void => {
    if (channel instanceof MemoryMessageChannel) channel.peer?.refusals.push(code);
  };

  /** The other side of `channel` finds its ring broken (ERING, `check`). */
  readonly breakRing = (channel: RingChannel, check: string): void => {
    if (channel instanceof MemoryRingChannel) {
      channel.peer?.fail({ reason: 'error', error: nativeError('ERING', check) });
    }
  };

  // ---- the contract ----

  readonly openMessageDevice: Native['openMessageDevice'] = (path) => {
    const device = openable(this.devices.get(path), path);
    const [guest, kernel] = this.messagePair(() => {
      device.busy = false;
    });
    device.accept(kernel);
    return guest;
  };

  readonly connectMessageSocket: Native['connectMessageSocket'] = (path) => {
    if (!this.listeners.has(path)) throw nativeError('ENOENT', 'connect', path);
    const [guest, host] = this.messagePair(() => {});
    nextTurn(() => {
      const accept = this.listeners.get(path);
      if (accept) accept({ fd: host.fd, message: host });
      else host.close();
    });
    return guest;
  };

  readonly adoptMessageChannel: Native['adoptMessageChannel'] = (fd) => {
    const channel = this.connections.get(fd)?.message;
    if (channel === undefined) throw nativeError('EBADF', 'fcntl');
    this.connections.delete(fd);
    return channel;
  };

  readonly openUio: Native['openUio'] = (path, mapBytes) => {
    const uio = openable(this.uios.get(path), path);
    if (mapBytes % (2 * CONTROL_PAGE_BYTES) !== 0 || mapBytes < 4 * CONTROL_PAGE_BYTES) {
      uio.busy = false;
      throw nativeError('EINVAL', 'mmap', path);
    }
    const [guest, host] = this.ringPair(mapBytes / 2, () => {
      uio.busy = false;
    });
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
    const accept = this.listeners.get(path);
    if (accept === undefined) throw nativeError('ENOENT', 'connect', path);
    let connected: MemoryRingChannel | undefined;
    accept({
      fd: this.fds.next(),
      ring: (ringBytes) => {
        const [guest, host] = this.ringPair(ringBytes, () => {});
        connected = guest;
        return host;
      },
    });
    if (connected === undefined) throw nativeError('ETIMEDOUT', 'recvmsg', path);
    return connected;
  };

  readonly hostRing: Native['hostRing'] = (fd, ringBytes) => {
    const ring = this.connections.get(fd)?.ring;
    if (ring === undefined) throw nativeError('EBADF', 'fcntl');
    if (ringBytes % CONTROL_PAGE_BYTES !== 0 || ringBytes < 2 * CONTROL_PAGE_BYTES)
      throw nativeError('EINVAL', 'mmap');
    this.connections.delete(fd);
    return ring(ringBytes);
  };

  /** There is no shared memory here to break: see `breakRing`. */
  readonly ringMemory: Native['ringMemory'] = () => {
    throw nativeError('ENOTSUP', 'mmap');
  };

  readonly listen: Native['listen'] = (path) => {
    if (this.listeners.has(path)) throw nativeError('EADDRINUSE', 'bind', path);
    const backlog: PendingConnection[] = [];
    this.listeners.set(path, (connection) => backlog.push(connection));
    return {
      start: (onConnection) => {
        const accept = (connection: PendingConnection): void => {
          this.connections.set(connection.fd, connection);
          onConnection(connection.fd);
        };
        this.listeners.set(path, accept);
        for (const connection of backlog.splice(0)) nextTurn(() => accept(connection));
      },
      close: () => this.listeners.delete(path),
    };
  };

  private messagePair(release: () => void): [MemoryMessageChannel, MemoryMessageChannel] {
    const guest = new MemoryMessageChannel(this.fds.next(), release);
    const host = new MemoryMessageChannel(this.fds.next(), () => {});
    guest.peer = host;
    host.peer = guest;
    return [guest, host];
  }

  private ringPair(ringBytes: number, release: () => void): [MemoryRingChannel, MemoryRingChannel] {
    const dataBytes = ringBytes - CONTROL_PAGE_BYTES;
    const guest = new MemoryRingChannel(this.fds.next(), dataBytes, false, release);
    const host = new MemoryRingChannel(this.fds.next(), dataBytes, true, () => {});
    guest.peer = host;
    host.peer = guest;
    return [guest, host];
  }
}

/** The device, busy from now on; throws if it is missing or busy already. */
function openable<Channel>(device: Device<Channel> | undefined, path: string): Device<Channel> {
  if (device === undefined) throw nativeError('ENOENT', 'open', path);
  if (device.busy) throw nativeError('EBUSY', 'open', path);
  device.busy = true;
  return device;
}
