import type { Native, RingStatistics } from '../../native/interface.ts';
import { PacketType } from '../../protocol/ic/packet.ts';
import { type HostClock, HostError, systemClock, type WireMessage, type WireTap } from '../wire.ts';
import type { RingMemory } from './ring-memory.ts';
import { FIRST_TRANSACTION_ID, Transactions } from './transactions.ts';
import { VmbusLink } from './vmbus-link.ts';

export interface VmbusChannelOptions {
  readonly native: Native;
  readonly socketPath: string;
  /** Size of each ring, control page included. */
  readonly ringBytes?: number;
  readonly timeoutSecs?: number;
  readonly clock?: HostClock;
  readonly tap?: WireTap;
}

/**
 * The host's end of one VMBus channel, whatever its messages say: moves packets, matches answers by
 * their packet's transaction id, and hangs up on a guest that breaks these rules.
 */
export abstract class VmbusChannelHost {
  readonly wire = 'unix-ring';
  readonly transport: string;
  readonly violations: string[] = [];

  protected readonly transactions: Transactions;
  readonly #link: VmbusLink;
  readonly #tap: WireTap | undefined;
  #takenOver: ((answer: Uint8Array, transactionId: bigint) => void) | undefined;

  constructor(options: VmbusChannelOptions) {
    this.transport = `unix-ring:${options.socketPath}`;
    this.#tap = options.tap;
    this.transactions = new Transactions(options.clock ?? systemClock, options.timeoutSecs ?? 30);
    this.#link = new VmbusLink(options, {
      onOpen: () => this.onOpen(),
      onPacket: (type, id, packet) => this.#onPacket(type, id, packet),
      onGone: (error) => this.end(error),
      onListenerEnd: (reason) => this.violations.push(`listener ended: ${reason}`),
    });
  }

  /** Called when a guest has opened the channel. */
  protected abstract onOpen(): void;

  get refusedCount(): number {
    return this.#link.refusedCount;
  }

  takeOver(onAnswer: (answer: Uint8Array, transactionId: bigint) => void): () => void {
    if (!this.transactions.isEmpty) throw new Error('requests are pending');
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
    this.end(new HostError('dropped', 'the host rescinded the channel'));
  }

  close(): void {
    this.#link.closeListener();
    this.hangUp();
  }

  /** Sends one message. Resolves to a copy of its answer. */
  protected transact(message: Uint8Array, what: string): Promise<Uint8Array> {
    return this.transactions.transact(what, (id) =>
      this.sendPacket(PacketType.inband, 0, id, message),
    );
  }

  /** Notes a violation by the guest. Returns the error that tells of it. */
  protected broken(what: string): HostError {
    this.violations.push(what);
    return new HostError('broken', what);
  }

  /** Rescinds the channel. What was asked and not answered fails with `error`. */
  protected end(error: HostError): void {
    this.#link.drop();
    this.transactions.failAll(error);
  }

  protected tap(message: Omit<WireMessage, 'wire'>): void {
    this.#tap?.({ wire: this.wire, ...message });
  }

  #onPacket(type: number, transactionId: bigint, packet: Uint8Array): void {
    if (type !== PacketType.inband) {
      const expected = `${PacketType.inband} (inband data)`;
      this.end(this.broken(`packet type: expected ${expected}, got ${type}`));
    } else if (this.#takenOver) {
      this.#takenOver(packet, transactionId);
    } else if (!this.transactions.answer(transactionId, () => packet.slice())) {
      // Packets of behaviours that await no answer have ids below the first request's.
      if (transactionId < FIRST_TRANSACTION_ID) return;
      this.end(this.broken(`an answer to transaction ${transactionId}, which is not pending`));
    }
  }
}
