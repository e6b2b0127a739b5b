import fs from 'node:fs';
import type { Native, NativeError, RingChannel, RingStatistics } from '../../native/interface.ts';
import { type NegotiatedVersions, negotiation } from '../../protocol/ic/negotiation.ts';
import {
  decodeIcMessage,
  encodeIcMessage,
  IC_BODY_OFFSET,
  IC_MAX_MESSAGE_BYTES,
  IC_NEGOTIATE,
  IcFlag,
  type IcHeader,
  PacketType,
} from '../../protocol/ic/packet.ts';
import { formatVersion, sameVersion, type Version } from '../../protocol/ic/version.ts';
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

const CONTROL_PAGE_BYTES = 4096;
const DESCRIPTOR_BYTES = 16;
const FOOTER_BYTES = 8;

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

export interface VersionsOffered {
  readonly framework: readonly Version[];
  readonly message: readonly Version[];
}

interface Pending {
  onAnswer(answer: Uint8Array): void;
  fail(error: HostError): void;
}

/**
 * Plays a Hyper-V host on the VMBus channel of one service: negotiates as soon as a guest is there,
 * then sends requests, many at a time if asked to, and matches replies by their packet's
 * transaction id. Every reply is checked as OpenVMM's host does (vm/devices/hyperv_ic): headers
 * whole, transaction id as sent, a response, a body as long as it says.
 */
export class VmbusHost<Request, Reply extends { readonly status: number }>
  implements ServiceHost<Request, Reply>
{
  readonly wire = 'unix-ring';
  readonly transport: string;
  readonly bodyOffset = IC_BODY_OFFSET;
  readonly violations: string[] = [];
  readyCount = 0;
  refusedCount = 0;

  readonly #options: VmbusHostOptions<Request, Reply>;
  readonly #protocol: ServiceProtocol<Request, Reply>;
  readonly #clock: HostClock;
  readonly #listener;
  readonly #buffer = new Uint8Array(IC_MAX_MESSAGE_BYTES + 64);
  readonly #pending = new Map<bigint, Pending>();
  #channel: RingChannel | undefined;
  #memory: RingMemory | undefined;
  #versions: NegotiatedVersions | undefined;
  #waiting = deferred<string>();
  #takenOver: ((answer: Uint8Array, transactionId: bigint) => void) | undefined;
  #lastTransactionId = 0n;
  #probeSerial = 0;
  #closed = false;

  constructor(options: VmbusHostOptions<Request, Reply>) {
    this.#options = options;
    this.#protocol = options.protocol;
    this.#clock = options.clock ?? systemClock;
    this.transport = `unix-ring:${options.socketPath}`;
    this.#listener = options.native.listen(options.socketPath);
    this.#listener.start(
      (fd) => this.#accept(fd),
      (end) => this.violations.push(`listener ended: ${end.reason}`),
    );
  }

  ready(): Promise<string> {
    return this.#versions ? Promise.resolve(describe(this.#versions)) : this.#waiting.promise;
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
    const message = this.encodeNegotiation(offer);
    const subject =
      `${offer.framework.map(formatVersion).join(' ')} / ` +
      `${offer.message.map(formatVersion).join(' ')}`;
    this.#tap({ from: 'host', operation: 'negotiate', subject, bytes: message.length });
    const answer = await this.#transact(message, 'negotiate');
    const { header, body } = this.#open(answer, IC_NEGOTIATE);
    const chosen = this.#readNegotiation(body, offer);
    this.#tap({
      from: 'guest',
      operation: 'negotiate',
      subject: chosen ? describe(chosen) : 'nothing in common',
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
    const body = new Uint8Array(
      negotiation.sizeOf({ frameworkVersions: offer.framework, messageVersions: offer.message }),
    );
    negotiation.encodeInto(
      { frameworkVersions: offer.framework, messageVersions: offer.message },
      body,
    );
    if (counts) {
      const view = new DataView(body.buffer);
      view.setUint16(0, counts.frameworks, true);
      view.setUint16(2, counts.messages, true);
    }
    return encodeIcMessage(
      {
        // A host can't know yet which versions these headers should have; Windows sends those of
        // the framework's first
        frameworkVersion: { major: 1, minor: 0 },
        messageVersion: { major: 1, minor: 0 },
        messageType: IC_NEGOTIATE,
        flags: IcFlag.transaction | IcFlag.request,
      },
      body,
    );
  }

  async request(request: Request): Promise<Reply> {
    await this.ready();
    // What holds when it is sent holds for its reply, whatever is negotiated meanwhile
    const version = this.#agreed.message;
    const message = this.encode(request);
    const summary = this.#options.view.summarize(request);
    this.#tap({ from: 'host', ...summary, bytes: message.length });
    const answer = await this.#transact(message, summary.operation);
    const { header, body } = this.#open(answer, this.#protocol.messageType);
    let reply: Reply;
    try {
      reply = this.#protocol.ic.decodeReply(body, version, request, header.status);
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

  encode(request: Request): Uint8Array {
    const { framework, message } = this.#agreed;
    return encodeIcMessage(
      {
        frameworkVersion: framework,
        messageVersion: message,
        messageType: this.#protocol.messageType,
        flags: IcFlag.transaction | IcFlag.request,
      },
      this.#protocol.ic.encodeRequest(request, message),
    );
  }

  async exchange(message: Uint8Array): Promise<Uint8Array | undefined> {
    await this.ready();
    let answer: Uint8Array | undefined;
    const id = this.#nextTransactionId();
    this.#pending.set(id, {
      onAnswer: (bytes) => {
        answer = bytes;
      },
      fail: () => {},
    });
    this.#tap({ from: 'host', operation: 'raw', bytes: message.length });
    try {
      this.sendPacket(PacketType.inband, 0, id, message);
      await this.#transact(this.encode(this.#options.view.probe(++this.#probeSerial)), 'probe');
    } finally {
      this.#pending.delete(id);
    }
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
    if (this.#pending.size > 0) throw new Error('requests are pending');
    this.#takenOver = onAnswer;
    return () => {
      this.#takenOver = undefined;
    };
  }

  trySend(message: Uint8Array, transactionId: bigint): boolean {
    // By the room there is, not by the channel's queue: a host that queues stops reading, and both
    // ends would wait for each other
    const needed = DESCRIPTOR_BYTES + Math.ceil(message.length / 8) * 8 + FOOTER_BYTES;
    if (this.memory().inbound.freeBytes <= needed) return false;
    this.sendPacket(PacketType.inband, 0, transactionId, message);
    return true;
  }

  /** Puts one packet of any kind into the ring. */
  sendPacket(packetType: number, flags: number, transactionId: bigint, payload: Uint8Array): void {
    if (!this.#channel) throw new HostError('gone', 'no guest is connected');
    try {
      this.#channel.write(packetType, flags, transactionId, payload);
    } catch (error) {
      throw new HostError('gone', `the ring took no packet: ${(error as Error).message}`, error);
    }
  }

  /** Wakes the guest, whether or not there is anything in the ring. */
  wake(): void {
    try {
      if (this.#channel) fs.writeSync(this.#channel.fd, Uint8Array.of(1, 0, 0, 0));
    } catch (error) {
      // One is pending already, or the guest has left
      const { code } = error as NativeError;
      if (code !== 'EAGAIN' && code !== 'EPIPE' && code !== 'ECONNRESET') throw error;
    }
  }

  /** Stops and resumes taking answers out of the ring. */
  pauseReading(): void {
    this.#channel?.pause();
  }
  resumeReading(): void {
    this.#channel?.resume();
  }

  /** Both rings, to look at or to break. */
  memory(): RingMemory {
    if (!this.#channel) throw new HostError('gone', 'no guest is connected');
    this.#memory ??= new RingMemory(this.#options.native.ringMemory(this.#channel));
    return this.#memory;
  }

  statistics(): RingStatistics | undefined {
    return this.#channel?.statistics();
  }

  hangUp(): void {
    this.#end(new HostError('dropped', 'the host rescinded the channel'));
  }

  close(): void {
    this.#closed = true;
    this.#listener.close();
    this.hangUp();
    this.#waiting.reject(new HostError('dropped', 'the host was closed'));
  }

  get #offer(): VersionsOffered {
    return (
      this.#options.offer ?? {
        framework: this.#protocol.frameworkVersions,
        message: this.#protocol.messageVersions,
      }
    );
  }

  get #agreed(): NegotiatedVersions {
    if (!this.#versions) throw new HostError('gone', 'no guest has negotiated');
    return this.#versions;
  }

  #accept(fd: number): void {
    const { native, ringBytes = CONTROL_PAGE_BYTES + 128 * 1024 } = this.#options;
    if (this.#channel || this.#closed) {
      this.refusedCount++;
      native.adoptMessageChannel(fd).close();
      return;
    }
    const channel = native.hostRing(fd, ringBytes);
    this.#channel = channel;
    channel.start(
      this.#buffer,
      (type, _flags, id, bytes) => this.#onPacket(type, id, bytes),
      (end) =>
        this.#end(
          new HostError(
            'gone',
            `the guest closed the channel${end.reason === 'error' ? `: ${end.error}` : ''}`,
          ),
        ),
    );
    void this.#greet();
  }

  /** What a host does first. */
  async #greet(): Promise<void> {
    try {
      const chosen = await this.negotiate();
      if (!chosen) throw this.#broken('the guest supports none of the offered versions');
      this.readyCount++;
      const waiting = this.#waiting;
      this.#waiting = deferred();
      waiting.resolve(describe(chosen));
    } catch (error) {
      // Gone or silent: the next guest may do better
      if (error instanceof HostError && error.code === 'broken') this.#end(error);
    }
  }

  #onPacket(type: number, transactionId: bigint, bytes: number): void {
    if (type !== PacketType.inband) {
      this.#violate(`packet type: expected ${PacketType.inband} (inband data), got ${type}`);
    } else if (this.#takenOver) {
      this.#takenOver(this.#buffer.subarray(0, bytes), transactionId);
    } else {
      const pending = this.#pending.get(transactionId);
      if (!pending) {
        // Packets of behaviours that await no answer have ids of their own, below the first
        // request's
        if (transactionId >= FIRST_TRANSACTION_ID)
          this.#violate(`an answer to transaction ${transactionId}, which is not pending`);
        return;
      }
      this.#pending.delete(transactionId);
      pending.onAnswer(this.#buffer.slice(0, bytes));
    }
  }

  /** Sends one message and gives the copied answer. */
  async #transact(message: Uint8Array, what: string): Promise<Uint8Array> {
    const id = this.#nextTransactionId();
    const done = deferred<Uint8Array>();
    const timeoutSecs = this.#options.timeoutSecs ?? 30;
    this.#pending.set(id, { onAnswer: done.resolve, fail: done.reject });
    const cancel = this.#clock.after(timeoutSecs * 1000, () =>
      done.reject(new HostError('silent', `${what}: no answer within ${timeoutSecs} s`)),
    );
    try {
      this.sendPacket(PacketType.inband, 0, id, message);
      return await done.promise;
    } finally {
      cancel();
      this.#pending.delete(id);
    }
  }

  /** The checks of OpenVMM's host. */
  #open(answer: Uint8Array, messageType: number): { header: IcHeader; body: Uint8Array } {
    let opened: ReturnType<typeof decodeIcMessage>;
    try {
      opened = decodeIcMessage(answer);
    } catch (error) {
      throw this.#broken(`a reply's headers can't be read: ${(error as Error).message}`);
    }
    const { header } = opened;
    const expect = (field: string, expected: number, actual: number): void => {
      if (actual !== expected)
        throw this.#broken(`a reply's ${field}: expected ${expected}, got ${actual}`);
    };
    expect('messageType', messageType, header.messageType);
    expect('transactionId', 0, header.transactionId);
    expect('flags', IcFlag.transaction | IcFlag.response, header.flags);
    return opened;
  }

  #readNegotiation(body: Uint8Array, offer: VersionsOffered): NegotiatedVersions | undefined {
    let answer: ReturnType<typeof negotiation.decode>;
    try {
      answer = negotiation.decode(body);
    } catch (error) {
      throw this.#broken(`the answer to a negotiation can't be read: ${(error as Error).message}`);
    }
    const { frameworkVersions, messageVersions } = answer;
    if (frameworkVersions.length === 0 && messageVersions.length === 0) return undefined;
    const [framework, message] = [frameworkVersions[0], messageVersions[0]];
    if (frameworkVersions.length !== 1 || messageVersions.length !== 1 || !framework || !message) {
      throw this.#broken(
        `a negotiation answered with ${frameworkVersions.length} and ` +
          `${messageVersions.length} versions`,
      );
    }
    const offered = (versions: readonly Version[], one: Version) =>
      versions.some((version) => sameVersion(version, one));
    if (!offered(offer.framework, framework) || !offered(offer.message, message)) {
      throw this.#broken(
        `a negotiation answered with ${describe({ framework, message })}, which was not offered`,
      );
    }
    return { framework, message };
  }

  #nextTransactionId(): bigint {
    this.#lastTransactionId =
      this.#lastTransactionId === 0n ? FIRST_TRANSACTION_ID : this.#lastTransactionId + 1n;
    return this.#lastTransactionId;
  }

  #broken(what: string): HostError {
    this.violations.push(what);
    return new HostError('broken', what);
  }

  #violate(what: string): void {
    this.#end(this.#broken(what));
  }

  #end(error: HostError): void {
    this.#channel?.close();
    this.#channel = undefined;
    this.#memory = undefined;
    this.#versions = undefined;
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const one of pending) one.fail(error);
  }

  #tap(message: Omit<WireMessage, 'wire'>): void {
    this.#options.tap?.({ wire: 'unix-ring', ...message });
  }
}

/** Ids below it are for packets whose answers nobody awaits. */
const FIRST_TRANSACTION_ID = 0x1_0000n;

const describe = ({ framework, message }: NegotiatedVersions): string =>
  `framework ${formatVersion(framework)}, messages ${formatVersion(message)}`;

/** One ring as raw memory (layout: struct hv_ring_buffer in include/linux/hyperv.h). */
export class RawRing {
  readonly control: DataView;
  readonly data: Uint8Array;
  readonly dataBytes: number;
  constructor(memory: Uint8Array) {
    this.control = new DataView(memory.buffer, memory.byteOffset, CONTROL_PAGE_BYTES);
    this.data = memory.subarray(CONTROL_PAGE_BYTES);
    this.dataBytes = this.data.length;
  }
  get writeIndex(): number {
    return this.control.getUint32(0, true);
  }
  get readIndex(): number {
    return this.control.getUint32(4, true);
  }
  setWriteIndex(index: number): void {
    this.control.setUint32(0, index, true);
  }
  setReadIndex(index: number): void {
    this.control.setUint32(4, index, true);
  }
  get freeBytes(): number {
    const used = (this.writeIndex - this.readIndex + this.dataBytes) % this.dataBytes;
    return this.dataBytes - used;
  }
}

/** Both rings of a channel, named as the guest sees them. */
export class RingMemory {
  /** From guest to host. */
  readonly outbound: RawRing;
  /** From host to guest. */
  readonly inbound: RawRing;
  constructor(memory: Uint8Array) {
    this.outbound = new RawRing(memory.subarray(0, memory.length / 2));
    this.inbound = new RawRing(memory.subarray(memory.length / 2));
  }

  /**
   * Puts a descriptor of any content at the end of the inbound ring, as if 64 bytes had been
   * written.
   */
  plant({ offset8, length8 }: { readonly offset8: number; readonly length8: number }): void {
    const { inbound } = this;
    const start = inbound.writeIndex;
    const descriptor = new DataView(new ArrayBuffer(64));
    descriptor.setUint16(0, PacketType.inband, true);
    descriptor.setUint16(2, offset8, true);
    descriptor.setUint16(4, length8, true);
    for (let i = 0; i < 64; i++)
      inbound.data[(start + i) % inbound.dataBytes] = descriptor.getUint8(i);
    inbound.setWriteIndex((start + 64) % inbound.dataBytes);
  }
}

/** Earlier names of this module's exports, for tests of others. */
export { VmbusHost as RingHost, type VmbusHostOptions as RingHostOptions };
