/**
 * The host of the file copy service at its barest, for comparing daemons: sends bytes, gives
 * statuses. Its messages are laid out here, by hand from include/uapi/linux/hyperv.h, so that what
 * both daemons are asked does not depend on our own codecs.
 */
import type { Listener, MessageChannel, Native, RingChannel } from '../../native/interface.ts';
import { DaemonGone } from './raw-host.ts';

export type Link = 'device' | 'ring';

/** As kernels give this service: 4 KiB of control page, 16 KiB of data. */
export const RING_BYTES = 20 * 1024;

const NAME_FIELD_BYTES = 520;
const FRAGMENT_BYTES = 6144;
const HEADER_BYTES = 36;
const IC_BYTES = 28;
const INBAND = 6;
const FCOPY = 7;
const NEGOTIATE = 0;

export const OVERWRITE = 1;
export const CREATE_PATH = 2;

/**
 * One message, as either link carries it: names in UTF-16 over the ring, in UTF-8 on the device.
 */
export type Message = (link: Link) => Buffer;

/**
 * As utf16s_to_utf8s of the kernel (fs/nls/nls_base.c) does: surrogates without a partner are left
 * out, and what exceeds 259 bytes.
 */
function utf8AsTheKernelDoes(text: string): Buffer {
  const bytes = Buffer.alloc(NAME_FIELD_BYTES);
  let at = 0;
  for (const character of text) {
    if (/^[\ud800-\udfff]$/.test(character)) continue;
    const encoded = Buffer.from(character);
    if (at + encoded.length > 259) continue;
    at += encoded.copy(bytes, at);
  }
  return bytes;
}

function name(text: string, link: Link): Buffer {
  if (link === 'device') return utf8AsTheKernelDoes(text);
  const bytes = Buffer.alloc(NAME_FIELD_BYTES);
  bytes.write(text, 'utf16le');
  return bytes;
}

const header = (operation: number): Buffer => {
  const bytes = Buffer.alloc(HEADER_BYTES);
  bytes.writeUInt32LE(operation);
  return bytes;
};

export const start =
  (folder: string, file: string, sizeBytes: number | bigint, flags = 0): Message =>
  (link) => {
    const end = Buffer.alloc(12);
    end.writeUInt32LE(flags);
    end.writeBigUInt64LE(BigInt(sizeBytes), 4);
    return Buffer.concat([header(0), name(file, link), name(folder, link), end]);
  };

/** `sizeBytes` is what the message says of its fragment. */
export const data =
  (
    offset: number | bigint,
    fragment: string | Uint8Array,
    sizeBytes = Buffer.from(fragment as string).length,
  ): Message =>
  () => {
    const fields = Buffer.alloc(16);
    fields.writeBigUInt64LE(BigInt(offset), 4);
    fields.writeUInt32LE(sizeBytes, 12);
    const padded = Buffer.alloc(FRAGMENT_BYTES);
    Buffer.from(fragment as string).copy(padded);
    return Buffer.concat([header(1), fields, padded]);
  };

export const complete: Message = () => header(2);
export const cancel: Message = () => header(3);
export const operation =
  (code: number): Message =>
  () =>
    header(code);

/** The packet of a body: pipe header, IC header, body. */
export function packet(body: Buffer, type = FCOPY): Buffer {
  const head = Buffer.alloc(IC_BYTES);
  head.writeUInt32LE(1);
  head.writeUInt32LE(IC_BYTES - 8 + body.length, 4);
  head.writeUInt16LE(3, 8);
  head.writeUInt16LE(type, 12);
  head.writeUInt16LE(1, 14);
  head.writeUInt16LE(1, 16);
  head.writeUInt16LE(body.length, 18);
  head[25] = 3;
  return Buffer.concat([head, body]);
}

const negotiation = (): Buffer => {
  const body = Buffer.alloc(16);
  for (const [at, value] of [1, 1, 0, 0, 3, 0, 1, 1].entries()) body.writeUInt16LE(value, at * 2);
  return packet(body, NEGOTIATE);
};

/** One channel, one daemon at a time. A new daemon may connect after the last one went. */
export class FcopyRawHost {
  readonly link: Link;
  readonly #native: Native;
  readonly #listener: Listener;
  readonly #buffer = new Uint8Array(16 * 1024);
  #device: MessageChannel | undefined;
  #ring: RingChannel | undefined;
  #isReady = false;
  #awaited: (() => void)[] = [];
  #pending: { resolve: (status: number) => void; reject: (error: Error) => void }[] = [];
  /** What came that was no answer to anything. */
  readonly strays: Buffer[] = [];

  constructor(native: Native, link: Link, socketPath: string) {
    this.link = link;
    this.#native = native;
    this.#listener = native.listen(socketPath);
    this.#listener.start(
      (fd) => (link === 'device' ? this.#acceptDevice(fd) : this.#acceptRing(fd)),
      () => {},
    );
  }

  get ring(): RingChannel {
    if (!this.#ring) throw new DaemonGone('no daemon has the ring open');
    return this.#ring;
  }

  /** Resolves when a daemon registers or negotiates after now. */
  nextReady(): Promise<void> {
    return new Promise((resolve) => {
      this.#awaited.push(resolve);
    });
  }

  /**
   * One message and the status it is answered with; rejects with DaemonGone when the daemon ends
   * instead of answering.
   */
  ask(message: Message): Promise<number> {
    const body = message(this.link);
    // hv_utils passes on complete and cancel at the length of their whole packet
    const short = this.link === 'device' && body.length === HEADER_BYTES;
    return this.send(
      this.link === 'ring'
        ? packet(body)
        : short
          ? Buffer.concat([body, Buffer.alloc(IC_BYTES)])
          : body,
    );
  }

  /** The same for bytes that need not be right. */
  send(bytes: Uint8Array): Promise<number> {
    return new Promise((resolve, reject) => {
      const one = { resolve, reject };
      this.#pending.push(one);
      try {
        if (!this.#isReady) throw new Error('no daemon has the channel open');
        if (this.#device) this.#device.write(bytes);
        else this.#ring!.write(INBAND, 1, 1n, bytes);
      } catch (error) {
        this.#pending = this.#pending.filter((other) => other !== one);
        reject(new DaemonGone((error as Error).message));
      }
    });
  }

  close(): void {
    this.#listener.close();
    this.#drop();
  }

  #acceptDevice(fd: number): void {
    // The end of the last daemon may not have been seen yet
    this.#drop();
    const channel = this.#native.adoptMessageChannel(fd);
    this.#device = channel;
    channel.start(
      this.#buffer,
      (length) => {
        const message = Buffer.from(this.#buffer.subarray(0, length));
        if (this.#isReady)
          return this.#onAnswer(length === 4 ? message.readUInt32LE() : undefined, message);
        if (length !== 4 || message.readUInt32LE() !== 1) return this.#drop();
        try {
          channel.write(message);
        } catch {
          return this.#drop();
        }
        this.#ready();
      },
      () => this.#drop(),
    );
  }

  #acceptRing(fd: number): void {
    this.#drop();
    const channel = this.#native.hostRing(fd, RING_BYTES);
    this.#ring = channel;
    channel.start(
      this.#buffer,
      (_type, _flags, _id, length) => {
        const message = Buffer.from(this.#buffer.subarray(0, length));
        if (this.#isReady)
          return this.#onAnswer(length >= IC_BYTES ? message.readUInt32LE(20) : undefined, message);
        if (message.readUInt16LE(IC_BYTES) !== 1) return this.#drop();
        this.#ready();
      },
      () => this.#drop(),
    );
    channel.write(INBAND, 1, 1n, negotiation());
  }

  #onAnswer(status: number | undefined, message: Buffer): void {
    const first = status === undefined ? undefined : this.#pending.shift();
    if (first) first.resolve(status!);
    else this.strays.push(message);
  }

  #ready(): void {
    this.#isReady = true;
    for (const resolve of this.#awaited.splice(0)) resolve();
  }

  #drop(): void {
    this.#device?.close();
    this.#ring?.close();
    this.#device = undefined;
    this.#ring = undefined;
    this.#isReady = false;
    for (const { reject } of this.#pending.splice(0))
      reject(new DaemonGone('the daemon closed the channel'));
  }
}
