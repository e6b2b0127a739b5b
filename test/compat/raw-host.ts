/**
 * hv_utils at its barest, for comparing daemons: sends bytes, gives bytes. Its messages are laid
 * out here, by hand from struct hv_kvp_msg (include/uapi/linux/hyperv.h), so that what both daemons
 * are asked does not depend on our own codecs.
 */
import type { Listener, MessageChannel, Native } from '../../native/interface.ts';

export const MESSAGE_BYTES = 7432;
const REGISTER = 100;

const Operation = { get: 0, set: 1, delete: 2, enumerate: 3, getIpInfo: 4, setIpInfo: 5 } as const;

function message(
  operation: number,
  pool: number,
): { bytes: Buffer; put: (text: string | Uint8Array, at: number) => number } {
  const bytes = Buffer.alloc(MESSAGE_BYTES);
  bytes[0] = operation;
  bytes[1] = pool;
  return {
    bytes,
    put: (text, at) => {
      const raw = Buffer.from(text as string);
      raw.copy(bytes, at);
      return raw.length;
    },
  };
}

export function get(pool: number, key: string): Uint8Array {
  const { bytes, put } = message(Operation.get, pool);
  bytes.writeUInt32LE(put(key, 16) + 1, 8);
  return bytes;
}

/** `sizes` replaces what the message says of its key and value. */
export function set(
  pool: number,
  key: string | Uint8Array,
  value: string | Uint8Array,
  sizes: { key?: number; value?: number } = {},
): Uint8Array {
  const { bytes, put } = message(Operation.set, pool);
  bytes.writeUInt32LE(sizes.key ?? Buffer.from(key as string).length + 1, 8);
  put(key, 16);
  bytes.writeUInt32LE(sizes.value ?? Buffer.from(value as string).length + 1, 12);
  put(value, 528);
  return bytes;
}

export function remove(pool: number, key: string): Uint8Array {
  const { bytes, put } = message(Operation.delete, pool);
  bytes.writeUInt32LE(put(key, 8) + 1, 4);
  return bytes;
}

export function enumerate(pool: number, index: number): Uint8Array {
  const { bytes } = message(Operation.enumerate, pool);
  bytes.writeUInt32LE(index, 4);
  return bytes;
}

export function getIpInfo(mac: string): Uint8Array {
  const { bytes, put } = message(Operation.getIpInfo, 0);
  put(mac, 4);
  return bytes;
}

export function setIpInfo(adapterId: string, address: string): Uint8Array {
  const { bytes, put } = message(Operation.setIpInfo, 0);
  put(adapterId, 4);
  bytes[260] = 1;
  put(address, 262);
  return bytes;
}

export const unknownOperation = (operation: number): Uint8Array => message(operation, 0).bytes;

const cString = (bytes: Uint8Array, at: number, limit: number): string => {
  const field = Buffer.from(bytes.subarray(at, at + limit));
  const end = field.indexOf(0);
  return field.toString('utf8', 0, end < 0 ? limit : end);
};

export interface RawReply {
  readonly status: number;
  /**
   * Where hv_utils reads them in the reply to an enumeration; of a get it reads the value, from the
   * same place.
   */
  readonly key: string;
  readonly value: string;
}

/** A status of this kind stands for a daemon that ended instead of answering. */
export class DaemonGone extends Error {
  override readonly name = 'DaemonGone';
}

/** One device, one daemon at a time. A new daemon may connect after the last one went. */
export class RawHost {
  readonly #native: Native;
  readonly #listener: Listener;
  readonly #buffer = new Uint8Array(MESSAGE_BYTES + 1);
  #channel: MessageChannel | undefined;
  #awaited: (() => void)[] = [];
  #pending: { resolve: (reply: RawReply) => void; reject: (error: Error) => void } | undefined;

  constructor(native: Native, socketPath: string) {
    this.#native = native;
    this.#listener = native.listen(socketPath);
    this.#listener.start(
      (fd) => this.#accept(fd),
      () => {},
    );
  }

  #accept(fd: number): void {
    // The end of the last daemon may not have been seen yet
    this.#drop();
    const channel = this.#native.adoptMessageChannel(fd);
    this.#channel = channel;
    let registered = false;
    channel.start(
      this.#buffer,
      (length) => {
        if (registered) return this.#onReply(length);
        registered = true;
        this.#onRegistration(channel, length);
      },
      () => this.#drop(),
    );
  }

  #onRegistration(channel: MessageChannel, length: number): void {
    const answer = message(REGISTER, 0);
    answer.put('3.1', 4);
    try {
      if (length !== MESSAGE_BYTES || this.#buffer[0] !== REGISTER)
        throw new Error('no registration');
      channel.write(answer.bytes);
    } catch {
      this.#drop(); // no daemon, or one that was killed meanwhile
      return;
    }
    for (const resolve of this.#awaited.splice(0)) resolve();
  }

  #onReply(length: number): void {
    const bytes = this.#buffer.subarray(0, length);
    const pending = this.#pending;
    this.#pending = undefined;
    if (length !== MESSAGE_BYTES) pending?.reject(new Error(`a reply of ${length} bytes`));
    pending?.resolve({
      status: Buffer.from(bytes).readUInt32LE(0),
      key: cString(bytes, 20, 512),
      value: cString(bytes, 532, 2048),
    });
  }

  #drop(): void {
    this.#channel?.close();
    this.#channel = undefined;
    this.#pending?.reject(new DaemonGone('the daemon closed the device'));
    this.#pending = undefined;
  }

  /** Resolves when a daemon registers after now. */
  nextRegistration(): Promise<void> {
    return new Promise((resolve) => {
      this.#awaited.push(resolve);
    });
  }

  /** One request; rejects with DaemonGone when the daemon ends instead of answering. */
  ask(request: Uint8Array): Promise<RawReply> {
    return new Promise((resolve, reject) => {
      if (this.#channel === undefined) {
        reject(new DaemonGone('no daemon has the device open'));
        return;
      }
      this.#pending = { resolve, reject };
      try {
        this.#channel.write(request);
      } catch (error) {
        this.#pending = undefined;
        reject(new DaemonGone((error as Error).message));
      }
    });
  }

  close(): void {
    this.#listener.close();
    this.#drop();
  }
}
