import type { MessageChannel, Native, NativeError } from '../../native/interface.ts';
import {
  HV_UTIL_TIMEOUT_SECS,
  type HvUtilsCodec,
  type ServiceProtocol,
} from '../../protocol/service-protocol.ts';
import {
  deferred,
  type HostClock,
  HostError,
  type ServiceHost,
  type ServiceView,
  systemClock,
  type WireMessage,
  type WireTap,
} from '../wire.ts';

export interface HvUtilsHostOptions<Request, Reply extends { readonly status: number }> {
  readonly native: Native;
  readonly protocol: ServiceProtocol<Request, Reply>;
  readonly view: ServiceView<Request, Reply>;
  readonly socketPath: string;
  /** What the registration is answered with; the kernel's text for KVP is "3.1". */
  readonly versionText?: string;
  /** How long a reply is awaited; by default as long as hv_utils does. */
  readonly timeoutSecs?: number;
  readonly clock?: HostClock;
  readonly tap?: WireTap;
}

interface Transaction {
  /** True when the transaction is over. */
  onAnswer(answer: Uint8Array): boolean;
  fail(error: HostError): void;
}

/**
 * Plays hv_utils and its char device on a seqpacket socket: one guest at a time, a registration,
 * then one transaction at a time (source: drivers/hv/hv_utils_transport.c, hv_kvp.c). Where the
 * real device's write fails with EINVAL because nothing is pending, this one hangs up: a socket
 * can't refuse a message it has already taken.
 */
export class HvUtilsHost<Request, Reply extends { readonly status: number }>
  implements ServiceHost<Request, Reply>
{
  readonly wire = 'unix';
  readonly transport: string;
  readonly bodyOffset = 0;
  readonly violations: string[] = [];
  readyCount = 0;
  /** Opens refused because another guest had the device. */
  refusedCount = 0;

  readonly #options: HvUtilsHostOptions<Request, Reply>;
  readonly #codec: HvUtilsCodec<Request, Reply>;
  readonly #clock: HostClock;
  readonly #listener;
  readonly #buffer: Uint8Array;
  #channel: MessageChannel | undefined;
  #registered = false;
  #transaction: Transaction | undefined;
  /** The tail of the queue of those who want the device. */
  #turn: Promise<unknown> = Promise.resolve();
  #waiting = deferred<string>();
  #refuseReplies = 0;
  #probeSerial = 0;
  #closed = false;

  constructor(options: HvUtilsHostOptions<Request, Reply>) {
    if (!options.protocol.hvUtils)
      throw new Error(`hv_utils has no char device for ${options.protocol.name}`);
    this.#options = options;
    this.#codec = options.protocol.hvUtils;
    this.#clock = options.clock ?? systemClock;
    this.#buffer = new Uint8Array(this.#codec.messageBytes + 1);
    this.transport = `unix:${options.socketPath}`;
    this.#listener = options.native.listen(options.socketPath);
    this.#listener.start(
      (fd) => this.#accept(fd),
      (end) => this.violations.push(`listener ended: ${end.reason}`),
    );
  }

  ready(): Promise<string> {
    return this.#registered ? Promise.resolve(this.#versionText) : this.#waiting.promise;
  }

  nextReady(): Promise<string> {
    return this.#waiting.promise;
  }

  async request(request: Request): Promise<Reply> {
    await this.ready();
    return this.#inTurn(async () => {
      const sent = this.#codec.encodeRequest(request);
      const timeoutSecs = this.#codec.timeoutSecs?.(request) ?? HV_UTIL_TIMEOUT_SECS;
      const answer = await this.#transact(sent, timeoutSecs, () =>
        this.#options.view.summarize(request),
      );
      return this.#decode(answer, request);
    });
  }

  encode(request: Request): Uint8Array {
    return this.#codec.encodeRequest(request);
  }

  async exchange(message: Uint8Array): Promise<Uint8Array | undefined> {
    await this.ready();
    if (this.#codec.replyBytes !== undefined) return this.#exchangeBeforeTwoProbes(message);
    const probe = this.#options.view.probe(++this.#probeSerial);
    const probeBytes = this.#codec.encodeRequest(probe);
    return this.#inTurn(async () => {
      let answer: Uint8Array | undefined;
      const done = deferred<void>();
      this.#begin({
        onAnswer: (bytes) => {
          if (!answersProbe(bytes, probeBytes)) {
            answer = bytes.slice();
            return false;
          }
          done.resolve();
          return true;
        },
        fail: done.reject,
      });
      this.#tap({ from: 'host', operation: 'raw', bytes: message.length });
      this.#write(message);
      this.#write(probeBytes);
      await done.promise;
      this.#tap({
        from: 'guest',
        operation: 'raw',
        bytes: answer?.length ?? 0,
        ...(answer ? { status: this.statusOf(answer) } : { subject: 'no answer' }),
      });
      return answer;
    });
  }

  /**
   * Where a reply is a status and nothing else, one probe's can't be told from that of the message
   * before it. Two probes with different statuses, a then b, can: when the second reply is b's, the
   * message had none.
   */
  #exchangeBeforeTwoProbes(message: Uint8Array): Promise<Uint8Array | undefined> {
    const probes = [0, 1].map((serial) =>
      this.#codec.encodeRequest(this.#options.view.probe(serial)),
    );
    return this.#inTurn(async () => {
      const [first, second] = await this.#answers(
        probes,
        (answers) => answers.length === probes.length,
      );
      const secondStatus = this.statusOf(second!);
      if (this.statusOf(first!) === secondStatus)
        throw new Error('both probes have the same status');
      this.#tap({ from: 'host', operation: 'raw', bytes: message.length });
      const answers = await this.#answers(
        [message, ...probes],
        (answers) =>
          answers.length > probes.length ||
          (answers[1] && this.statusOf(answers[1])) === secondStatus,
      );
      const answer = answers.length > probes.length ? answers[0] : undefined;
      const result = answer ? { status: this.statusOf(answer) } : { subject: 'no answer' };
      this.#tap({ from: 'guest', operation: 'raw', bytes: answer?.length ?? 0, ...result });
      return answer;
    });
  }

  /** Sends messages and gives what comes until that is all. */
  async #answers(
    messages: readonly Uint8Array[],
    isAll: (answers: readonly Uint8Array[]) => boolean,
  ) {
    const answers: Uint8Array[] = [];
    const done = deferred<void>();
    this.#begin({
      onAnswer: (bytes) => {
        answers.push(bytes.slice());
        if (!isAll(answers)) return false;
        done.resolve();
        return true;
      },
      fail: done.reject,
    });
    for (const message of messages) this.#write(message);
    await done.promise;
    return answers;
  }

  statusOf(reply: Uint8Array): number {
    return new DataView(reply.buffer, reply.byteOffset, reply.byteLength).getUint32(0, true);
  }

  takeOver(onAnswer: (answer: Uint8Array, transactionId: bigint) => void): () => void {
    if (this.#transaction) throw new Error('a request is pending');
    this.#transaction = {
      onAnswer: (answer) => {
        onAnswer(answer, 0n);
        return false;
      },
      fail: () => {},
    };
    return () => {
      this.#transaction = undefined;
    };
  }

  trySend(message: Uint8Array): boolean {
    if (!this.#channel) throw new HostError('gone', 'no guest is connected');
    try {
      this.#channel.write(message);
      return true;
    } catch (error) {
      if ((error as NativeError).code === 'EAGAIN') return false;
      throw new HostError('gone', `the guest took no message: ${(error as Error).message}`, error);
    }
  }

  /**
   * The next reply finds nothing pending, as after a resume: the guest has to reopen and register
   * again.
   */
  refuseNextReply(): void {
    this.#refuseReplies++;
  }

  /**
   * The virtual machine sleeps and wakes: hv_utils forgets the transaction, and a reply to it is
   * refused; so is the one to `parting`, a request which it makes up before (hv_vss_pre_suspend in
   * drivers/hv/hv_snapshot.c: a thaw).
   */
  suspend(parting?: Request): void {
    this.#fail(new HostError('dropped', 'the virtual machine was suspended'));
    if (parting === undefined) return;
    this.#refuseReplies++;
    this.#write(this.#codec.encodeRequest(parting));
  }

  hangUp(): void {
    this.#end(new HostError('dropped', 'the host destroyed the device'));
  }

  close(): void {
    this.#closed = true;
    this.#listener.close();
    this.hangUp();
    this.#waiting.reject(new HostError('dropped', 'the host was closed'));
  }

  get #versionText(): string {
    return this.#options.versionText ?? '3.1';
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
      (end) =>
        this.#end(
          new HostError(
            'gone',
            `the guest closed the device${end.reason === 'error' ? `: ${end.error}` : ''}`,
          ),
        ),
    );
  }

  #onMessage(length: number): void {
    const message = this.#buffer.subarray(0, length);
    const { messageBytes, replyBytes = messageBytes } = this.#codec;
    const expectedBytes = this.#registered ? replyBytes : this.#codec.encodeRegistration().length;
    if (length !== expectedBytes) {
      this.#violate(`message length: expected ${expectedBytes} bytes, got ${length}`);
    } else if (!this.#registered) {
      this.#register(message);
    } else if (this.#transaction && this.#refuseReplies === 0) {
      if (this.#transaction.onAnswer(message)) this.#transaction = undefined;
    } else if (this.#refuseReplies > 0) {
      this.#refuseReplies--;
      this.#end(new HostError('dropped', 'the reply was refused, as after a resume'));
    } else {
      this.#violate('a message while nothing was pending');
    }
  }

  #register(message: Uint8Array): void {
    // The registration is recognised by its one answerable feature: it is the first message. Its
    // operation is checked.
    const expected = this.#codec.encodeRegistration();
    if (message[0] !== expected[0]) {
      this.#violate(`registration: expected operation ${expected[0]}, got ${message[0]}`);
      return;
    }
    this.#tap({ from: 'guest', operation: 'register', bytes: message.length });
    const answer = this.#codec.encodeRegistrationAnswer(this.#versionText);
    this.#tap({
      from: 'host',
      operation: 'register',
      subject: this.#versionText,
      bytes: answer.length,
    });
    this.#write(answer);
    this.#registered = true;
    this.readyCount++;
    const waiting = this.#waiting;
    this.#waiting = deferred();
    waiting.resolve(this.#versionText);
  }

  /** Sends one message and gives the copied answer. */
  async #transact(
    message: Uint8Array,
    kernelTimeoutSecs: number,
    summary: () => ReturnType<ServiceView<Request, Reply>['summarize']>,
  ) {
    const done = deferred<Uint8Array>();
    const timeoutSecs = this.#options.timeoutSecs ?? kernelTimeoutSecs;
    const cancel = this.#clock.after(timeoutSecs * 1000, () =>
      this.#fail(
        new HostError('silent', `${summary().operation}: no answer within ${timeoutSecs} s`),
      ),
    );
    this.#begin({
      onAnswer: (bytes) => {
        done.resolve(bytes.slice());
        return true;
      },
      fail: done.reject,
    });
    this.#tap({ from: 'host', ...summary(), bytes: message.length });
    try {
      this.#write(message);
      return await done.promise;
    } finally {
      cancel();
    }
  }

  #decode(answer: Uint8Array, request: Request): Reply {
    let reply: Reply;
    try {
      reply = this.#codec.decodeReply(answer, request);
    } catch (error) {
      throw new HostError(
        'broken',
        `the guest's reply can't be read: ${(error as Error).message}`,
        error,
      );
    }
    this.#tap({
      from: 'guest',
      ...this.#options.view.summarize(request, reply),
      status: reply.status,
      bytes: answer.length,
    });
    return reply;
  }

  #begin(transaction: Transaction): void {
    if (!this.#registered) throw new HostError('gone', 'no guest is registered');
    this.#transaction = transaction;
  }

  /** One transaction at a time, in the order asked for. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => {});
    return result;
  }

  #write(message: Uint8Array): void {
    try {
      this.#channel?.write(message);
    } catch (error) {
      this.#end(
        new HostError('gone', `the guest took no message: ${(error as Error).message}`, error),
      );
    }
  }

  #violate(what: string): void {
    this.violations.push(what);
    this.#end(new HostError('broken', what));
  }

  #fail(error: HostError): void {
    const transaction = this.#transaction;
    this.#transaction = undefined;
    transaction?.fail(error);
  }

  #end(error: HostError): void {
    this.#channel?.close();
    this.#channel = undefined;
    this.#registered = false;
    this.#refuseReplies = 0;
    this.#fail(error);
  }

  #tap(message: Omit<WireMessage, 'wire'>): void {
    this.#options.tap?.({ wire: 'unix', ...message });
  }
}

/**
 * A probe's reply is the probe edited in place: after the 4 bytes where a reply has its status, all
 * is as it was sent.
 */
export const answersProbe = (answer: Uint8Array, probe: Uint8Array): boolean =>
  answer.length === probe.length && Buffer.compare(answer.subarray(4), probe.subarray(4)) === 0;

/** Earlier names of this module's exports, for tests of others. */
export { HvUtilsHost as UtilsHost, type HvUtilsHostOptions as UtilsHostOptions };
