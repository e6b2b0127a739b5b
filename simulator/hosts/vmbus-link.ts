import fs from 'node:fs';
import type { Native, NativeError, RingChannel, RingStatistics } from '../../native/interface.ts';
import { IC_MAX_MESSAGE_BYTES, PacketType } from '../../protocol/ic/packet.ts';
import { HostError } from '../wire.ts';
import { CONTROL_PAGE_BYTES, RingMemory } from './ring-memory.ts';

const DESCRIPTOR_BYTES = 16;
const FOOTER_BYTES = 8;

export interface VmbusLinkOptions {
  readonly native: Native;
  readonly socketPath: string;
  /** Size of each ring, control page included. */
  readonly ringBytes?: number;
}

export interface VmbusLinkEvents {
  /** A guest has opened the channel. */
  onOpen(): void;
  /** `packet` is valid during the call only. */
  onPacket(type: number, transactionId: bigint, packet: Uint8Array): void;
  onGone(error: HostError): void;
  onListenerEnd(reason: string): void;
}

/** The host's end of one channel: lets one guest in at a time, and moves packets. */
export class VmbusLink {
  refusedCount = 0;
  readonly #options: VmbusLinkOptions;
  readonly #events: VmbusLinkEvents;
  readonly #listener;
  readonly #buffer = new Uint8Array(IC_MAX_MESSAGE_BYTES + 64);
  #channel: RingChannel | undefined;
  #memory: RingMemory | undefined;
  #closed = false;

  constructor(options: VmbusLinkOptions, events: VmbusLinkEvents) {
    this.#options = options;
    this.#events = events;
    this.#listener = options.native.listen(options.socketPath);
    this.#listener.start(
      (fd) => this.#accept(fd),
      (end) => events.onListenerEnd(end.reason),
    );
  }

  /** Puts one packet of any kind into the ring. */
  send(packetType: number, flags: number, transactionId: bigint, payload: Uint8Array): void {
    if (!this.#channel) throw new HostError('gone', 'no guest is connected');
    try {
      this.#channel.write(packetType, flags, transactionId, payload);
    } catch (error) {
      throw new HostError('gone', `the ring took no packet: ${(error as Error).message}`, error);
    }
  }

  /** Sends a message when the ring has room for it. Returns whether it had. */
  trySend(message: Uint8Array, transactionId: bigint): boolean {
    // By the room in the ring, not by the channel's queue: a host that queues stops reading, and
    // both ends would wait for each other.
    const needed = DESCRIPTOR_BYTES + Math.ceil(message.length / 8) * 8 + FOOTER_BYTES;
    if (this.memory().inbound.freeBytes <= needed) return false;
    this.send(PacketType.inband, 0, transactionId, message);
    return true;
  }

  /** Wakes the guest, whether or not there is anything in the ring. */
  wake(): void {
    try {
      if (this.#channel) fs.writeSync(this.#channel.fd, Uint8Array.of(1, 0, 0, 0));
    } catch (error) {
      // One wake-up is pending already, or the guest has left.
      const { code } = error as NativeError;
      if (code !== 'EAGAIN' && code !== 'EPIPE' && code !== 'ECONNRESET') throw error;
    }
  }

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

  /** Rescinds the channel. The next guest may open it. */
  drop(): void {
    this.#channel?.close();
    this.#channel = undefined;
    this.#memory = undefined;
  }

  /** Lets no further guest in. */
  closeListener(): void {
    this.#closed = true;
    this.#listener.close();
  }

  #accept(fd: number): void {
    const { native, ringBytes = CONTROL_PAGE_BYTES + 128 * 1024 } = this.#options;
    if (this.#channel || this.#closed) {
      this.refusedCount++;
      native.adoptMessageChannel(fd).close();
      return;
    }
    this.#channel = native.hostRing(fd, ringBytes);
    this.#channel.start(
      this.#buffer,
      (type, _flags, id, bytes) => this.#events.onPacket(type, id, this.#buffer.subarray(0, bytes)),
      (end) => {
        const why = end.reason === 'error' ? `: ${end.error}` : '';
        this.#events.onGone(new HostError('gone', `the guest closed the channel${why}`));
      },
    );
    this.#events.onOpen();
  }
}
