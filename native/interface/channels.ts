import type { ChannelEnd } from './errors.ts';
import type { FileSink, PartForm } from './sinks.ts';

/**
 * A descriptor on which one read gives one whole message and one write takes one: an hv_utils char
 * device, or a seqpacket socket that behaves like one.
 */
export interface MessageChannel {
  /** The descriptor, for diagnosis and for handing on. */
  readonly fd: number;
  /**
   * Starts reading. Each message is put at the start of `buffer`, then `onMessage(lengthBytes)` is
   * called; `buffer` is overwritten by the next message, and is pinned until close. A message
   * longer than `buffer` is an error (EMSGSIZE on a socket, EINVAL from hv_utils).
   */
  start(
    buffer: Uint8Array,
    onMessage: (lengthBytes: number) => void,
    onEnd: (end: ChannelEnd) => void,
  ): void;
  /**
   * From now on messages that carry the next part of `sink` go there and are answered without any
   * callback. All others, and those that can't be written, come up as before; so do all once the
   * sink is closed. Replaces an earlier call.
   */
  stream(sink: FileSink, form: PartForm): void;
  /**
   * Writes one message, or throws: EINVAL means hv_utils awaits no reply (reopen and register),
   * EAGAIN a full socket.
   */
  write(message: Uint8Array): void;
  /**
   * Stops and resumes reading without losing a message; a paused channel holds nothing it has read.
   */
  pause(): void;
  resume(): void;
  close(): void;
}

/** One packet as it lay in the ring. The payload is at the start of the buffer given to `start`. */
export type OnPacket = (
  packetType: number,
  flags: number,
  transactionId: bigint,
  payloadBytes: number,
) => void;

/** Counters of one ring channel since it was opened. */
export interface RingStatistics {
  packetsRead: number;
  packetsWritten: number;
  signalsSent: number;
  wakes: number;
  /** Packets that had to wait in the queue for space in the outbound ring. */
  queued: number;
}

/**
 * A VMBus channel: two rings in shared memory and a descriptor that carries wake-ups. The guest's
 * end over UIO, or either end over a memfd and a seqpacket socket.
 */
export interface RingChannel {
  readonly fd: number;
  /** Data bytes of one ring, without its control page. */
  readonly ringDataBytes: number;
  /**
   * Starts draining: mask, take all packets, unmask, look again. Each packet's payload is copied to
   * the start of `buffer` (pinned until close), then `onPacket` is called. A packet longer than
   * `buffer` ends the channel (ERING). At most `batch` packets (64) are taken before other work of
   * the event loop gets a turn.
   */
  start(buffer: Uint8Array, onPacket: OnPacket, onEnd: (end: ChannelEnd) => void): void;
  /**
   * Writes one packet, or queues it when the ring has no room: then the pending send size is set,
   * reading pauses, and the queue is flushed when the peer makes room. (A simulated host's end goes
   * on reading: were both to pause, both would wait for ever.) Returns false when it was queued.
   * Throws ERING when the packet can never fit, ENOBUFS when more than 64 packets wait.
   */
  write(packetType: number, flags: number, transactionId: bigint, payload: Uint8Array): boolean;
  /**
   * As `MessageChannel.stream`, for payloads of packets of this type; answers are of the same type,
   * with the packet's transaction id.
   */
  stream(packetType: number, sink: FileSink, form: PartForm): void;
  pause(): void;
  resume(): void;
  /**
   * Stops for good if nothing waits, in the ring or in the queue; the peer's next packet then
   * raises an event for whoever has the descriptor after us. False: something waits, or the channel
   * is paused; all goes on.
   */
  leave(): boolean;
  statistics(): RingStatistics;
  close(): void;
}

/** A listening seqpacket socket. */
export interface Listener {
  /** Calls back with each accepted connection's descriptor, which the callee owns. */
  start(onConnection: (fd: number) => void, onEnd: (end: ChannelEnd) => void): void;
  close(): void;
}

/** What of `Native` opens channels. */
export interface NativeChannels {
  /**
   * Opens a char device of hv_utils (O_RDWR | O_CLOEXEC | O_NONBLOCK). EBUSY: another process has
   * it.
   */
  openMessageDevice(path: string): MessageChannel;
  /** Connects a seqpacket socket that behaves like a char device of hv_utils. */
  connectMessageSocket(path: string): MessageChannel;
  /** Takes over a descriptor: an accepted connection, or one inherited from systemd. */
  adoptMessageChannel(fd: number): MessageChannel;

  /**
   * Opens `/dev/uioN` and maps map 0 of `mapBytes` (from sysfs): outbound ring, then inbound ring,
   * half each.
   */
  openUio(path: string, mapBytes: number): RingChannel;
  /**
   * Takes over an open `/dev/uioN` and maps map 0 of `mapBytes` (then `memoryFd` is `fd`), or a
   * simulated host's connection and the ring memory it sent. Goes on where whoever had it before
   * stopped.
   */
  adoptRingChannel(fd: number, memoryFd: number, mapBytes: number): RingChannel;
  /**
   * Connects to a simulated host, which sends the ring memory as a descriptor. Waits for that, at
   * most 5 s (ETIMEDOUT), so the host has to run in another thread or process. The memory has to be
   * sealed against shrinking (EPROTO).
   */
  connectRingSocket(path: string): RingChannel;
  /**
   * The host's end on an accepted connection: makes the memory (`ringBytes` each way, control page
   * included) and sends it.
   */
  hostRing(fd: number, ringBytes: number): RingChannel;
  /**
   * The two rings of a simulated host's channel as raw memory, to break them on purpose. Only for
   * hostRing channels.
   */
  ringMemory(channel: RingChannel): Uint8Array;

  listen(path: string): Listener;
}
