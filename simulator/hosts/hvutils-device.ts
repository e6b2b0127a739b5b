import type { Native } from '../../native/interface.ts';
import type { HvUtilsCodec } from '../../protocol/service-protocol.ts';
import { HostError, type WireMessage } from '../wire.ts';
import { HvUtilsLink } from './hvutils-link.ts';
import { HvUtilsRegistration } from './hvutils-registration.ts';

/** What waits for the guest's next message. */
export interface Transaction {
  /** Returns whether that was the last message of the transaction. `answer` is valid only then. */
  onAnswer(answer: Uint8Array): boolean;
  fail(error: HostError): void;
}

export interface HvUtilsDeviceOptions<Request, Reply> {
  readonly native: Native;
  readonly socketPath: string;
  readonly codec: HvUtilsCodec<Request, Reply>;
  /** The version told at registration. */
  readonly versionText: string;
  tap(message: Omit<WireMessage, 'wire'>): void;
}

/**
 * The char device of hv_utils on a seqpacket socket: one guest at a time, a registration, then one
 * transaction at a time (source: drivers/hv/hv_utils_transport.c, hv_kvp.c). Where the real
 * device's write fails with EINVAL because nothing is pending, this one hangs up: a socket can't
 * refuse a message it has already taken.
 */
export class HvUtilsDevice<Request, Reply> {
  readonly violations: string[] = [];

  readonly #replyBytes: number;
  readonly #link: HvUtilsLink;
  readonly #registration: HvUtilsRegistration;
  #transaction: Transaction | undefined;
  #refuseReplies = 0;

  constructor(options: HvUtilsDeviceOptions<Request, Reply>) {
    this.#replyBytes = options.codec.replyBytes ?? options.codec.messageBytes;
    this.#registration = new HvUtilsRegistration(options);
    this.#link = new HvUtilsLink(options, {
      onMessage: (message) => this.#onMessage(message),
      onGone: (error) => this.end(error),
      onListenerEnd: (reason) => this.violations.push(`listener ended: ${reason}`),
    });
  }

  get readyCount(): number {
    return this.#registration.count;
  }

  /** Opens refused because another guest had the device. */
  get refusedCount(): number {
    return this.#link.refusedCount;
  }

  ready(): Promise<string> {
    return this.#registration.ready();
  }

  nextReady(): Promise<string> {
    return this.#registration.next();
  }

  get isBusy(): boolean {
    return this.#transaction !== undefined;
  }

  /** Begins a transaction. Throws a HostError when no guest is registered. */
  begin(transaction: Transaction): void {
    if (!this.#registration.isDone) throw new HostError('gone', 'no guest is registered');
    this.#transaction = transaction;
  }

  /** Takes every message until the returned function is called, whatever is pending or not. */
  takeOver(onAnswer: (answer: Uint8Array) => void): () => void {
    this.#transaction = endless(onAnswer);
    return () => {
      this.#transaction = undefined;
    };
  }

  write(message: Uint8Array): void {
    try {
      this.#link.write(message);
    } catch (error) {
      this.end(error as HostError);
    }
  }

  /** Returns false when the socket's buffer is full. */
  tryWrite(message: Uint8Array): boolean {
    return this.#link.tryWrite(message);
  }

  /** The next reply will find nothing pending, as after a resume. */
  refuseNextReply(): void {
    this.#refuseReplies++;
  }

  /** Ends the transaction, and leaves the guest registered. */
  fail(error: HostError): void {
    const transaction = this.#transaction;
    this.#transaction = undefined;
    transaction?.fail(error);
  }

  /** Hangs up. The next guest may open the device. */
  end(error: HostError): void {
    this.#link.drop();
    this.#registration.isDone = false;
    this.#refuseReplies = 0;
    this.fail(error);
  }

  close(): void {
    this.#link.closeListener();
    this.end(new HostError('dropped', 'the host destroyed the device'));
    this.#registration.close(new HostError('dropped', 'the host was closed'));
  }

  #onMessage(message: Uint8Array): void {
    if (!this.#registration.isDone) {
      this.#register(message);
    } else if (message.length !== this.#replyBytes) {
      this.#violate(`message length: expected ${this.#replyBytes} bytes, got ${message.length}`);
    } else if (this.#transaction && this.#refuseReplies === 0) {
      if (this.#transaction.onAnswer(message)) this.#transaction = undefined;
    } else if (this.#refuseReplies > 0) {
      this.#refuseReplies--;
      this.end(new HostError('dropped', 'the reply was refused, as after a resume'));
    } else {
      this.#violate('a message while nothing was pending');
    }
  }

  #register(message: Uint8Array): void {
    const problem = this.#registration.problemOf(message);
    if (problem) this.#violate(problem);
    else this.#registration.accept(message, (answer) => this.write(answer));
  }

  #violate(what: string): void {
    this.violations.push(what);
    this.end(new HostError('broken', what));
  }
}

/** A transaction that takes every message and never ends by itself. */
const endless = (onAnswer: (answer: Uint8Array) => void): Transaction => ({
  onAnswer: (answer) => {
    onAnswer(answer);
    return false;
  },
  fail: () => {},
});
