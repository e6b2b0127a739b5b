import type {
  ChannelEnd,
  FileSink,
  OnPacket,
  PartForm,
  RingChannel,
  RingStatistics,
} from '../interface.ts';
import { End } from './channel-end.ts';
import { nativeError } from './native-error.ts';
import { Stream } from './stream.ts';

const PACKET_OVERHEAD_BYTES = 24;
const MAX_QUEUED = 64;
const BATCH_PACKETS = 64;

interface Packet {
  readonly type: number;
  readonly flags: number;
  readonly transactionId: bigint;
  readonly payload: Uint8Array;
}

/** Bytes a packet takes in a ring: descriptor, padded payload, footer. */
function packetBytes(payloadBytes: number): number {
  return PACKET_OVERHEAD_BYTES + Math.ceil(payloadBytes / 8) * 8;
}

export class MemoryRingChannel extends End<Packet> implements RingChannel {
  readonly ringDataBytes: number;
  peer: MemoryRingChannel | undefined;
  private readonly release: () => void;
  private readonly readsWhileQueued: boolean;
  private readonly queue: Packet[] = [];
  /** Bytes in the inbound ring. */
  private usedBytes = 0;
  private buffer: Uint8Array = new Uint8Array();
  private onPacket: OnPacket = () => {};
  private streamed: { readonly type: number; readonly stream: Stream } | undefined;
  private readonly counters: RingStatistics = {
    packetsRead: 0,
    packetsWritten: 0,
    signalsSent: 0,
    wakes: 0,
    queued: 0,
  };

  constructor(fd: number, ringDataBytes: number, isHost: boolean, release: () => void) {
    super(fd);
    this.ringDataBytes = ringDataBytes;
    this.readsWhileQueued = isHost;
    this.release = release;
  }

  start(buffer: Uint8Array, onPacket: OnPacket, onEnd: (end: ChannelEnd) => void): void {
    this.begin(onEnd);
    this.buffer = buffer;
    this.onPacket = onPacket;
  }

  protected take(): void {
    for (let taken = 0; taken < BATCH_PACKETS && this.taking; taken += 1) {
      if (this.queue.length > 0 && !this.readsWhileQueued) return;
      const packet = this.inbox.shift();
      if (packet === undefined) return;
      if (packet.payload.length > this.buffer.length) {
        this.fail({
          reason: 'error',
          error: nativeError('ERING', 'packet is longer than the receive buffer'),
        });
        return;
      }
      this.usedBytes -= packetBytes(packet.payload.length);
      this.counters.packetsRead += 1;
      this.peer?.flush();
      this.buffer.set(packet.payload);
      // In a ring a payload is padded, and its length counts the padding.
      const paddedBytes = Math.ceil(packet.payload.length / 8) * 8;
      this.buffer.fill(0, packet.payload.length, paddedBytes);
      const answer =
        this.streamed?.type === packet.type
          ? this.streamed.stream.take(this.buffer.subarray(0, paddedBytes))
          : undefined;
      if (answer) {
        this.write(packet.type, 0, packet.transactionId, answer);
        continue;
      }
      this.onPacket(packet.type, packet.flags, packet.transactionId, paddedBytes);
    }
  }

  stream(type: number, sink: FileSink, form: PartForm): void {
    this.streamed = { type, stream: new Stream(sink, form) };
  }

  write(packetType: number, flags: number, transactionId: bigint, payload: Uint8Array): boolean {
    if (this.closed) throw nativeError('EBADF', 'write');
    if (packetBytes(payload.length) >= this.ringDataBytes) {
      throw nativeError('ERING', 'packet can never fit the ring');
    }
    const packet = { type: packetType, flags, transactionId, payload: payload.slice() };
    if (this.queue.length === 0 && this.put(packet)) return true;
    if (this.queue.length >= MAX_QUEUED) throw nativeError('ENOBUFS', 'write');
    this.queue.push(packet);
    this.counters.queued += 1;
    return false;
  }

  /** Puts a packet into the peer's inbound ring; false when it has no room. */
  private put(packet: Packet): boolean {
    const peer = this.peer;
    if (peer === undefined || peer.closed) throw nativeError('EPIPE', 'send');
    const bytes = packetBytes(packet.payload.length);
    if (peer.ringDataBytes - peer.usedBytes <= bytes) return false;
    if (peer.usedBytes === 0) {
      this.counters.signalsSent += 1;
      peer.counters.wakes += 1;
    }
    peer.usedBytes += bytes;
    peer.inbox.push(packet);
    this.counters.packetsWritten += 1;
    peer.wake();
    return true;
  }

  private flush(): void {
    if (this.closed) return;
    while (this.queue[0] !== undefined && this.put(this.queue[0])) this.queue.shift();
    if (this.queue.length === 0) this.wake();
  }

  leave(): boolean {
    if (!this.taking || this.inbox.length > 0 || this.queue.length > 0) return false;
    this.paused = true;
    return true;
  }

  statistics(): RingStatistics {
    return { ...this.counters };
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.peer?.fail({ reason: 'gone' });
    this.release();
  }
}
