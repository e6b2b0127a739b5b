import type { MessageChannel, Native, NativeError } from '../../native/interface.ts';
import type { HvUtilsCodec } from '../../protocol/service-protocol.ts';
import { deferred, HostError, type WireMessage } from '../wire.ts';

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
  readyCount = 0;
  /** Opens refused because another guest had the device. */
  refusedCount = 0;

  readonly #options: HvUtilsDeviceOptions<Request, Reply>;
  readonly #listener;
  readonly #buffer: Uint8Array;
  #channel: MessageChannel | undefined;
  #registered = false;
  #transaction: Transaction | undefined;
  #waiting = deferred<string>();
  #refuseReplies = 0;
  #closed = false;

  constructor(options: HvUtilsDeviceOptions<Request, Reply>) {
    this.#options = options;
    this.#buffer = new Uint8Array(options.codec.messageBytes + 1);
    this.#listener = options.native.listen(options.socketPath);
    this.#listener.start(
      (fd) => this.#accept(fd),
      (end) => this.violations.push(`listener ended: ${end.reason}`),
    );
  }

  ready(): Promise<string> {
    return this.#registered ? Promise.resolve(this.#options.versionText) : this.#waiting.promise;
  }

  nextReady(): Promise<string> {
    return this.#waiting.promise;
  }

  get isBusy(): boolean {
    return this.#transaction !== undefined;
  }

  /** Begins a transaction. Throws a HostError when no guest is registered. */
  begin(transaction: Transaction): void {
    if (!this.#registered) throw new HostError('gone', 'no guest is registered');
    this.#transaction = transaction;
  }

  /** Takes every message until the returned function is called, whatever is pending or not. */
  takeOver(onAnswer: (answer: Uint8Array) => void): () => void {
    this.#transaction = {
      onAnswer: (answer) => {
        onAnswer(answer);
        return false;
      },
      fail: () => {},
    };
    return () => {
      this.#transaction = undefined;
    };
  }

  write(message: Uint8Array): void {
    try {
      this.#channel?.write(message);
    } catch (error) {
      const why = `the guest took no message: ${(error as Error).message}`;
      this.end(new HostError('gone', why, error));
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
      throw new HostError('gone', `the guest took no message: ${(error as Error).message}`, error);
    }
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
    this.#channel?.close();
    this.#channel = undefined;
    this.#registered = false;
    this.#refuseReplies = 0;
    this.fail(error);
  }

  close(): void {
    this.#closed = true;
    this.#listener.close();
    this.end(new HostError('dropped', 'the host destroyed the device'));
    this.#waiting.reject(new HostError('dropped', 'the host was closed'));
  }

  #accept(fd: number): void {
    const channel = this.#options.native.adoptMessageChannel(fd);
    if (this.#channel || this.#closed) {
      // The real device answers open(2) with EBUSY
      this.refusedCount++;
      channel.close();
      return;
    }
    this.#channel = channel;
    channel.start(
      this.#buffer,
      (length) => this.#onMessage(length),
      (end) => {
        const why = end.reason === 'error' ? `: ${end.error}` : '';
        this.end(new HostError('gone', `the guest closed the device${why}`));
      },
    );
  }

  #onMessage(length: number): void {
    const message = this.#buffer.subarray(0, length);
    const { messageBytes, replyBytes = messageBytes } = this.#options.codec;
    const expectedBytes = this.#registered
      ? replyBytes
      : this.#options.codec.encodeRegistration().length;
    if (length !== expectedBytes) {
      this.#violate(`message length: expected ${expectedBytes} bytes, got ${length}`);
    } else if (!this.#registered) {
      this.#register(message);
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
    // The registration is the first message; its operation is checked.
    const expected = this.#options.codec.encodeRegistration();
    if (message[0] !== expected[0]) {
      this.#violate(`registration: expected operation ${expected[0]}, got ${message[0]}`);
      return;
    }
    this.#options.tap({ from: 'guest', operation: 'register', bytes: message.length });
    const answer = this.#options.codec.encodeRegistrationAnswer(this.#options.versionText);
    this.#options.tap({
      from: 'host',
      operation: 'register',
      subject: this.#options.versionText,
      bytes: answer.length,
    });
    this.write(answer);
    this.#registered = true;
    this.readyCount++;
    const waiting = this.#waiting;
    this.#waiting = deferred();
    waiting.resolve(this.#options.versionText);
  }

  #violate(what: string): void {
    this.violations.push(what);
    this.end(new HostError('broken', what));
  }
}
