import type { MessageChannel, Native, NativeError } from '../../native/interface.ts';
import { HostError } from '../wire.ts';

export interface HvUtilsLinkOptions {
  readonly native: Native;
  readonly socketPath: string;
  readonly codec: { readonly messageBytes: number };
}

export interface HvUtilsLinkEvents {
  /** `message` is valid during the call only. */
  onMessage(message: Uint8Array): void;
  onGone(error: HostError): void;
  onListenerEnd(reason: string): void;
}

/** The host's end of a char device's socket: lets one guest in at a time, and moves messages. */
export class HvUtilsLink {
  /** Opens refused because another guest had the device. */
  refusedCount = 0;
  readonly #native: Native;
  readonly #events: HvUtilsLinkEvents;
  readonly #listener;
  readonly #buffer: Uint8Array;
  #channel: MessageChannel | undefined;
  #closed = false;

  constructor({ native, socketPath, codec }: HvUtilsLinkOptions, events: HvUtilsLinkEvents) {
    this.#native = native;
    this.#events = events;
    this.#buffer = new Uint8Array(codec.messageBytes + 1);
    this.#listener = native.listen(socketPath);
    this.#listener.start(
      (fd) => this.#accept(fd),
      (end) => events.onListenerEnd(end.reason),
    );
  }

  /** Writes a message if a guest is connected. Throws a HostError when the guest took none. */
  write(message: Uint8Array): void {
    try {
      this.#channel?.write(message);
    } catch (error) {
      throw tookNone(error as Error);
    }
  }

  /** Returns false when the socket's buffer is full. */
  tryWrite(message: Uint8Array): boolean {
    if (!this.#channel) throw new HostError('gone', 'no guest is connected');
    try {
      this.#channel.write(message);
      return true;
    } catch (error) {
      if ((error as NativeError).code === 'EAGAIN') return false;
      throw tookNone(error as Error);
    }
  }

  /** Hangs up. The next guest may open the device. */
  drop(): void {
    this.#channel?.close();
    this.#channel = undefined;
  }

  /** Lets no further guest in. */
  closeListener(): void {
    this.#closed = true;
    this.#listener.close();
  }

  #accept(fd: number): void {
    const channel = this.#native.adoptMessageChannel(fd);
    if (this.#channel || this.#closed) {
      // The real device answers open(2) with EBUSY
      this.refusedCount++;
      channel.close();
      return;
    }
    this.#channel = channel;
    channel.start(
      this.#buffer,
      (length) => this.#events.onMessage(this.#buffer.subarray(0, length)),
      (end) => {
        const why = end.reason === 'error' ? `: ${end.error}` : '';
        this.#events.onGone(new HostError('gone', `the guest closed the device${why}`));
      },
    );
  }
}

const tookNone = (error: Error): HostError =>
  new HostError('gone', `the guest took no message: ${error.message}`, error);
