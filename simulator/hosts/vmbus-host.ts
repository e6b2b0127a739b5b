import type { Native, RingStatistics } from '../../native/interface.ts';
import type { NegotiatedVersions } from '../../protocol/ic/negotiation.ts';
import {
  encodeIcMessage,
  IC_BODY_OFFSET,
  IC_NEGOTIATE,
  IcFlag,
  PacketType,
} from '../../protocol/ic/packet.ts';
import { formatVersion } from '../../protocol/ic/version.ts';
import type { ServiceProtocol } from '../../protocol/service-protocol.ts';
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
import {
  describeVersions,
  encodeNegotiation,
  openAnswer,
  readNegotiation,
  type VersionsOffered,
} from './ic-messages.ts';
import type { RingMemory } from './ring-memory.ts';
import { FIRST_TRANSACTION_ID, Transactions } from './transactions.ts';
import { VmbusLink } from './vmbus-link.ts';

export type { VersionsOffered } from './ic-messages.ts';
export { RawRing, RingMemory } from './ring-memory.ts';

export interface VmbusHostOptions<Request, Reply extends { readonly status: number }> {
  readonly native: Native;
  readonly protocol: ServiceProtocol<Request, Reply>;
  readonly view: ServiceView<Request, Reply>;
  readonly socketPath: string;
  /** Size of each ring, control page included. */
  readonly ringBytes?: number;
  readonly offer?: VersionsOffered;
  readonly timeoutSecs?: number;
  readonly clock?: HostClock;
  readonly tap?: WireTap;
}

/**
 * Plays a Hyper-V host on the VMBus channel of one service: negotiates as soon as a guest is there,
 * then sends requests, many at a time if asked to, and matches replies by their packet's
 * transaction id.
 */
export class VmbusHost<Request, Reply extends { readonly status: number }>
  implements ServiceHost<Request, Reply>
{
  readonly wire = 'unix-ring';
  readonly transport: string;
  readonly bodyOffset = IC_BODY_OFFSET;
  readonly violations: string[] = [];
  readyCount = 0;

  readonly #options: VmbusHostOptions<Request, Reply>;
  readonly #link: VmbusLink;
  readonly #transactions: Transactions;
  #versions: NegotiatedVersions | undefined;
  #waiting = deferred<string>();
  #takenOver: ((answer: Uint8Array, transactionId: bigint) => void) | undefined;
  #probeSerial = 0;

  constructor(options: VmbusHostOptions<Request, Reply>) {
    this.#options = options;
    this.transport = `unix-ring:${options.socketPath}`;
    this.#transactions = new Transactions(options.clock ?? systemClock, options.timeoutSecs ?? 30);
    this.#link = new VmbusLink(options, {
      onOpen: () => void this.#greet(),
      onPacket: (type, id, packet) => this.#onPacket(type, id, packet),
      onGone: (error) => this.#end(error),
      onListenerEnd: (reason) => this.violations.push(`listener ended: ${reason}`),
    });
  }

  get refusedCount(): number {
    return this.#link.refusedCount;
  }

  ready(): Promise<string> {
    const versions = this.#versions;
    return versions ? Promise.resolve(describeVersions(versions)) : this.#waiting.promise;
  }

  nextReady(): Promise<string> {
    return this.#waiting.promise;
  }

  get versions(): NegotiatedVersions | undefined {
    return this.#versions;
  }

  /**
   * Negotiates (again). Requests sent after it use the outcome; undefined: no version in common,
   * the old one stays.
   */
  async negotiate(offer: VersionsOffered = this.#offer): Promise<NegotiatedVersions | undefined> {
    const message = encodeNegotiation(offer);
    const subject =
      `${offer.framework.map(formatVersion).join(' ')} / ` +
      `${offer.message.map(formatVersion).join(' ')}`;
    this.#tap({ from: 'host', operation: 'negotiate', subject, bytes: message.length });
    const answer = await this.#transact(message, 'negotiate');
    const { header, body } = this.#checked(() => openAnswer(answer, IC_NEGOTIATE));
    const chosen = this.#checked(() => readNegotiation(body, offer));
    this.#tap({
      from: 'guest',
      operation: 'negotiate',
      subject: chosen ? describeVersions(chosen) : 'nothing in common',
      status: header.status,
      bytes: answer.length,
    });
    if (chosen) this.#versions = chosen;
    return chosen;
  }

  /** The bytes of a negotiation; `counts` gives it counts that need not be true. */
  encodeNegotiation(
    offer: VersionsOffered = this.#offer,
    counts?: { readonly frameworks: number; readonly messages: number },
  ): Uint8Array {
    return encodeNegotiation(offer, counts);
  }

  async request(request: Request): Promise<Reply> {
    await this.ready();
    // What holds when it is sent holds for its reply, whatever is negotiated meanwhile.
    const version = this.#agreed.message;
    const { protocol, view } = this.#options;
    const message = this.encode(request);
    const summary = view.summarize(request);
    this.#tap({ from: 'host', ...summary, bytes: message.length });
    const answer = await this.#transact(message, summary.operation);
    const { header, body } = this.#checked(() => openAnswer(answer, protocol.messageType));
    let reply: Reply;
    try {
      reply = protocol.ic.decodeReply(body, version, request, header.status);
    } catch (error) {
      const { message: why } = error as Error;
      throw new HostError('broken', `the guest's reply can't be read: ${why}`, error);
    }
    this.#tap({
      from: 'guest',
      ...view.summarize(request, reply),
      status: reply.status,
      bytes: answer.length,
    });
    return reply;
  }

  encode(request: Request): Uint8Array {
    const { framework, message } = this.#agreed;
    const { messageType, ic } = this.#options.protocol;
    return encodeIcMessage(
      {
        frameworkVersion: framework,
        messageVersion: message,
        messageType,
        flags: IcFlag.transaction | IcFlag.request,
      },
      ic.encodeRequest(request, message),
    );
  }

  async exchange(message: Uint8Array): Promise<Uint8Array | undefined> {
    await this.ready();
    this.#tap({ from: 'host', operation: 'raw', bytes: message.length });
    const answer = await this.#transactions.collect(
      (id) => this.sendPacket(PacketType.inband, 0, id, message),
      () => this.#transact(this.encode(this.#options.view.probe(++this.#probeSerial)), 'probe'),
    );
    this.#tap({
      from: 'guest',
      operation: 'raw',
      bytes: answer?.length ?? 0,
      ...(answer ? { status: this.statusOf(answer) } : { subject: 'no answer' }),
    });
    return answer;
  }

  statusOf(reply: Uint8Array): number {
    if (reply.length < IC_BODY_OFFSET)
      throw new HostError('broken', `a reply of ${reply.length} bytes has no status`);
    return new DataView(reply.buffer, reply.byteOffset, reply.byteLength).getUint32(20, true);
  }

  takeOver(onAnswer: (answer: Uint8Array, transactionId: bigint) => void): () => void {
    if (!this.#transactions.isEmpty) throw new Error('requests are pending');
    this.#takenOver = onAnswer;
    return () => {
      this.#takenOver = undefined;
    };
  }

  trySend(message: Uint8Array, transactionId: bigint): boolean {
    return this.#link.trySend(message, transactionId);
  }

  /** Puts one packet of any kind into the ring. */
  sendPacket(packetType: number, flags: number, transactionId: bigint, payload: Uint8Array): void {
    this.#link.send(packetType, flags, transactionId, payload);
  }

  /** Wakes the guest, whether or not there is anything in the ring. */
  wake(): void {
    this.#link.wake();
  }

  /** Stops and resumes taking answers out of the ring. */
  pauseReading(): void {
    this.#link.pauseReading();
  }
  resumeReading(): void {
    this.#link.resumeReading();
  }

  /** Both rings, to look at or to break. */
  memory(): RingMemory {
    return this.#link.memory();
  }

  statistics(): RingStatistics | undefined {
    return this.#link.statistics();
  }

  hangUp(): void {
    this.#end(new HostError('dropped', 'the host rescinded the channel'));
  }

  close(): void {
    this.#link.closeListener();
    this.hangUp();
    this.#waiting.reject(new HostError('dropped', 'the host was closed'));
  }

  get #offer(): VersionsOffered {
    const { offer, protocol } = this.#options;
    return offer ?? { framework: protocol.frameworkVersions, message: protocol.messageVersions };
  }

  get #agreed(): NegotiatedVersions {
    if (!this.#versions) throw new HostError('gone', 'no guest has negotiated');
    return this.#versions;
  }

  /** What a host does first. */
  async #greet(): Promise<void> {
    try {
      const chosen = await this.negotiate();
      if (!chosen) throw this.#broken('the guest supports none of the offered versions');
      this.readyCount++;
      const waiting = this.#waiting;
      this.#waiting = deferred();
      waiting.resolve(describeVersions(chosen));
    } catch (error) {
      // A guest that is gone or silent is left: the next one may do better.
      if (error instanceof HostError && error.code === 'broken') this.#end(error);
    }
  }

  #onPacket(type: number, transactionId: bigint, packet: Uint8Array): void {
    if (type !== PacketType.inband) {
      this.#violate(`packet type: expected ${PacketType.inband} (inband data), got ${type}`);
    } else if (this.#takenOver) {
      this.#takenOver(packet, transactionId);
    } else if (!this.#transactions.answer(transactionId, () => packet.slice())) {
      // Packets of behaviours that await no answer have ids below the first request's.
      if (transactionId >= FIRST_TRANSACTION_ID)
        this.#violate(`an answer to transaction ${transactionId}, which is not pending`);
    }
  }

  /** Sends one message. Resolves to a copy of its answer. */
  #transact(message: Uint8Array, what: string): Promise<Uint8Array> {
    return this.#transactions.transact(what, (id) =>
      this.sendPacket(PacketType.inband, 0, id, message),
    );
  }

  /** Turns an Error of `work` into a violation by the guest. */
  #checked<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      throw this.#broken((error as Error).message);
    }
  }

  #broken(what: string): HostError {
    this.violations.push(what);
    return new HostError('broken', what);
  }

  #violate(what: string): void {
    this.#end(this.#broken(what));
  }

  #end(error: HostError): void {
    this.#link.drop();
    this.#versions = undefined;
    this.#transactions.failAll(error);
  }

  #tap(message: Omit<WireMessage, 'wire'>): void {
    this.#options.tap?.({ wire: 'unix-ring', ...message });
  }
}

/** Earlier names of this module's exports, for tests of others. */
export { VmbusHost as RingHost, type VmbusHostOptions as RingHostOptions };
