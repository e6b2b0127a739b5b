import type { Native } from '../../native/interface.ts';
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
import { HvUtilsDevice } from './hvutils-device.ts';

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

/**
 * Plays hv_utils for one service: one transaction at a time, in the order asked for, as on the char
 * device (HvUtilsDevice).
 */
export class HvUtilsHost<Request, Reply extends { readonly status: number }>
  implements ServiceHost<Request, Reply>
{
  readonly wire = 'unix';
  readonly transport: string;
  readonly bodyOffset = 0;

  readonly #options: HvUtilsHostOptions<Request, Reply>;
  readonly #codec: HvUtilsCodec<Request, Reply>;
  readonly #clock: HostClock;
  readonly #device: HvUtilsDevice<Request, Reply>;
  /** The tail of the queue of transactions. */
  #turn: Promise<unknown> = Promise.resolve();
  #probeSerial = 0;

  constructor(options: HvUtilsHostOptions<Request, Reply>) {
    if (!options.protocol.hvUtils)
      throw new Error(`hv_utils has no char device for ${options.protocol.name}`);
    this.#options = options;
    this.#codec = options.protocol.hvUtils;
    this.#clock = options.clock ?? systemClock;
    this.transport = `unix:${options.socketPath}`;
    this.#device = new HvUtilsDevice({
      native: options.native,
      socketPath: options.socketPath,
      codec: this.#codec,
      versionText: options.versionText ?? '3.1',
      tap: (message) => this.#tap(message),
    });
  }

  get violations(): string[] {
    return this.#device.violations;
  }

  get readyCount(): number {
    return this.#device.readyCount;
  }

  /** Opens refused because another guest had the device. */
  get refusedCount(): number {
    return this.#device.refusedCount;
  }

  ready(): Promise<string> {
    return this.#device.ready();
  }

  nextReady(): Promise<string> {
    return this.#device.nextReady();
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
      this.#device.begin({
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
      this.#device.write(message);
      this.#device.write(probeBytes);
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
    this.#device.begin({
      onAnswer: (bytes) => {
        answers.push(bytes.slice());
        if (!isAll(answers)) return false;
        done.resolve();
        return true;
      },
      fail: done.reject,
    });
    for (const message of messages) this.#device.write(message);
    await done.promise;
    return answers;
  }

  statusOf(reply: Uint8Array): number {
    return new DataView(reply.buffer, reply.byteOffset, reply.byteLength).getUint32(0, true);
  }

  takeOver(onAnswer: (answer: Uint8Array, transactionId: bigint) => void): () => void {
    if (this.#device.isBusy) throw new Error('a request is pending');
    return this.#device.takeOver((answer) => onAnswer(answer, 0n));
  }

  trySend(message: Uint8Array): boolean {
    return this.#device.tryWrite(message);
  }

  /**
   * The next reply finds nothing pending, as after a resume: the guest has to reopen and register
   * again.
   */
  refuseNextReply(): void {
    this.#device.refuseNextReply();
  }

  /**
   * The virtual machine sleeps and wakes: hv_utils forgets the transaction, and a reply to it is
   * refused; so is the one to `parting`, a request which it makes up before (hv_vss_pre_suspend in
   * drivers/hv/hv_snapshot.c: a thaw).
   */
  suspend(parting?: Request): void {
    this.#device.fail(new HostError('dropped', 'the virtual machine was suspended'));
    if (parting === undefined) return;
    this.#device.refuseNextReply();
    this.#device.write(this.#codec.encodeRequest(parting));
  }

  hangUp(): void {
    this.#device.end(new HostError('dropped', 'the host destroyed the device'));
  }

  close(): void {
    this.#device.close();
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
      this.#device.fail(
        new HostError('silent', `${summary().operation}: no answer within ${timeoutSecs} s`),
      ),
    );
    this.#device.begin({
      onAnswer: (bytes) => {
        done.resolve(bytes.slice());
        return true;
      },
      fail: done.reject,
    });
    this.#tap({ from: 'host', ...summary(), bytes: message.length });
    try {
      this.#device.write(message);
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

  /** One transaction at a time, in the order asked for. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => {});
    return result;
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
