/**
 * The contract between the services and the operating system: bytes and file descriptors, nothing about services.
 *
 * `index.ts` gives this contract from the compiled addon, `memory.ts` the same contract in memory for tests.
 *
 * Rules that hold for every object here:
 * - Callbacks run on the environment's own event loop, one at a time. No thread of ours exists.
 * - `close()` may be called twice and from inside a callback. After it no callback of that object runs.
 * - Whatever an object owns (descriptors, mappings, locks) is released by `close()`, and by the end of the environment
 *   (main thread, worker thread, `process.exit`) when nobody called it.
 * - Errors thrown or passed are `NativeError`s.
 */

/** A failed system call, or a broken ring. */
export interface NativeError extends Error {
  /** The errno's name ("EIO"), or "ERING" for a ring whose control page or descriptors can't be right. */
  readonly code: string;
  /** The positive errno; 0 for ERING. */
  readonly errno: number;
  /** The call that failed ("open", "read"), or the ring check that failed. */
  readonly syscall: string;
  readonly path?: string;
}

/** Why a channel ended by itself: the peer or the device went away ("gone"), or an error. */
export type ChannelEnd = { readonly reason: 'gone' } | { readonly reason: 'error'; readonly error: NativeError };

/**
 * A descriptor on which one read gives one whole message and one write takes one: an hv_utils char device, or a
 * seqpacket socket that behaves like one.
 */
export interface MessageChannel {
  /** The descriptor, for diagnosis and for handing on. */
  readonly fd: number;
  /**
   * Starts reading. Each message is put at the start of `buffer`, then `onMessage(lengthBytes)` is called; `buffer`
   * is overwritten by the next message, and is pinned until close. A message longer than `buffer` is an error
   * (EMSGSIZE on a socket, EINVAL from hv_utils).
   */
  start(buffer: Uint8Array, onMessage: (lengthBytes: number) => void, onEnd: (end: ChannelEnd) => void): void;
  /** Writes one message, or throws: EINVAL means hv_utils awaits no reply (reopen and register), EAGAIN a full socket. */
  write(message: Uint8Array): void;
  /** Stops and resumes reading without losing a message; a paused channel holds nothing it has read. */
  pause(): void;
  resume(): void;
  close(): void;
}

/** One packet as it lay in the ring. The payload is at the start of the buffer given to `start`. */
export type OnPacket = (packetType: number, flags: number, transactionId: bigint, payloadBytes: number) => void;

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
 * A VMBus channel: two rings in shared memory and a descriptor that carries wake-ups. The guest's end over UIO, or
 * either end over a memfd and a seqpacket socket.
 */
export interface RingChannel {
  readonly fd: number;
  /** Data bytes of one ring, without its control page. */
  readonly ringDataBytes: number;
  /**
   * Starts draining: mask, take all packets, unmask, look again. Each packet's payload is copied to the start of
   * `buffer` (pinned until close), then `onPacket` is called. A packet longer than `buffer` ends the channel (ERING).
   * At most `batch` packets (64) are taken before other work of the event loop gets a turn.
   */
  start(buffer: Uint8Array, onPacket: OnPacket, onEnd: (end: ChannelEnd) => void): void;
  /**
   * Writes one packet, or queues it when the ring has no room: then the pending send size is set, reading pauses, and the
   * queue is flushed when the peer makes room. (A simulated host's end goes on reading: were both to pause, both would
   * wait for ever.) Returns false when it was queued. Throws ERING when the packet can
   * never fit, ENOBUFS when more than 64 packets wait.
   */
  write(packetType: number, flags: number, transactionId: bigint, payload: Uint8Array): boolean;
  pause(): void;
  resume(): void;
  /**
   * Stops for good if nothing waits, in the ring or in the queue; the peer's next packet then raises an event for whoever has the descriptor
   * after us. False: something waits, or the channel is paused; all goes on.
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

/** One change in a watched folder. */
export interface DirectoryChange {
  /** File name within the folder; empty for the folder itself. */
  readonly name: string;
  /** inotify mask (IN_*); IN_Q_OVERFLOW (0x4000) means that changes were lost: look at everything. */
  readonly mask: number;
}

/** inotify on one folder, asked synchronously (the event loop is not involved unless `onReadable` is given). */
export interface DirectoryWatch {
  /** The changes since the last call, oldest first; undefined when there were none. Never blocks. */
  drain(): readonly DirectoryChange[] | undefined;
  close(): void;
}

/** rtnetlink notifications about links and addresses, asked synchronously. */
export interface AddressWatch {
  /** True when links or addresses may have changed since the last call. Never blocks. */
  changed(): boolean;
  close(): void;
}

/** What stat(2) tells, in the slots of a BigInt64Array that is filled in place. */
export const StatSlot = { dev: 0, ino: 1, sizeBytes: 2, mtimeNs: 3, ctimeNs: 4, mode: 5, nlink: 6, uid: 7 } as const;
export const STAT_SLOTS = 8;

/** Clock readings, in the slots of a BigInt64Array that is filled in place. */
export const ReadingSlot = {
  /** CLOCK_REALTIME in ns, or a register's value. */
  value: 0,
  /** CLOCK_MONOTONIC_RAW in ns when it was read: known to plus or minus half of `uncertaintyNs`. */
  monotonicRawNs: 1,
  uncertaintyNs: 2,
} as const;
export const READING_SLOTS = 3;

/** What the kernel does to the clock by itself. */
export interface ClockState {
  /** How much faster than CLOCK_MONOTONIC_RAW the clock is made to run. */
  readonly frequencyPpm: number;
  /** What is left of a slew. */
  readonly slewUs: number;
  /** The kernel believes the clock to be right. */
  readonly synchronized: boolean;
}

/** A change of CLOCK_REALTIME; only what is given changes. */
export interface ClockAdjustment {
  /** Added at once. */
  readonly stepNs?: bigint;
  /** From -500 to 500. */
  readonly frequencyPpm?: number;
  /** Added gradually by the kernel, 500 us a second, instead of what is left of an earlier slew. It ends by itself. */
  readonly slewUs?: number;
  /** Declares the clock synchronized with this error; the kernel lets the error grow, and doubts the clock in the end. */
  readonly errorUs?: number;
}

export interface Native {
  /** Opens a char device of hv_utils (O_RDWR | O_CLOEXEC | O_NONBLOCK). EBUSY: another process has it. */
  openMessageDevice(path: string): MessageChannel;
  /** Connects a seqpacket socket that behaves like a char device of hv_utils. */
  connectMessageSocket(path: string): MessageChannel;
  /** Takes over a descriptor: an accepted connection, or one inherited from systemd. */
  adoptMessageChannel(fd: number): MessageChannel;

  /** Opens `/dev/uioN` and maps map 0 of `mapBytes` (from sysfs): outbound ring, then inbound ring, half each. */
  openUio(path: string, mapBytes: number): RingChannel;
  /**
   * Takes over an open `/dev/uioN` and maps map 0 of `mapBytes` (then `memoryFd` is `fd`), or a simulated host's connection and the ring memory
   * it sent. Goes on where whoever had it before stopped.
   */
  adoptRingChannel(fd: number, memoryFd: number, mapBytes: number): RingChannel;
  /**
   * Connects to a simulated host, which sends the ring memory as a descriptor. Waits for that, at most 5 s (ETIMEDOUT), so the
   * host has to run in another thread or process. The memory has to be sealed against shrinking (EPROTO).
   */
  connectRingSocket(path: string): RingChannel;
  /** The host's end on an accepted connection: makes the memory (`ringBytes` each way, control page included) and sends it. */
  hostRing(fd: number, ringBytes: number): RingChannel;
  /** The two rings of a simulated host's channel as raw memory, to break them on purpose. Only for hostRing channels. */
  ringMemory(channel: RingChannel): Uint8Array;

  listen(path: string): Listener;

  /**
   * A mark on an open file: all descriptors of one opening share it, in whatever process, and it goes with the last of them. (The flag O_APPEND, which
   * means nothing to devices and sockets.)
   */
  isMarked(fd: number): boolean;
  mark(fd: number): void;

  /** Sends one datagram to a sd_notify socket (abstract with a leading "@"). False when nobody listens. */
  notify(socketPath: string, message: string): boolean;

  /**
   * Takes both an open-file-description lock and a flock on a descriptor, without waiting. False when another
   * holds either in a conflicting mode; then neither is held.
   */
  tryLock(fd: number, mode: 'shared' | 'exclusive'): boolean;
  unlock(fd: number): void;
  /** Fills `into` (STAT_SLOTS) with fstat (number) or stat (string) of a file. False: it does not exist. */
  stat(file: number | string, into: BigInt64Array): boolean;
  /**
   * Writes all of `bytes` at `position` such that no kill of this process can tear it. A write within one page is
   * atomic against SIGKILL already; a longer one is done by a vfork child that such a kill does not reach.
   * Bytes that the file holds already may be left out, so the caller has to hold the lock; after a kill the lock stays
   * held until the write is done. Returns the bytes written, fewer only when the file system says so (ENOSPC after a part).
   */
  writeWhole(fd: number, bytes: Uint8Array, position: number): number;
  /**
   * Removes `lengthBytes` at `position` of a file of `sizeBytes` by moving what follows forward and cutting the end, also in
   * a vfork child. Throws on failure; then the file may hold a part twice, but has lost nothing.
   */
  removeRange(fd: number, position: number, lengthBytes: number, sizeBytes: number): void;

  /** Sends one datagram to a Unix socket, without waiting. False when nobody listens there, or has no room for it. */
  sendDatagram(socketPath: string, bytes: Uint8Array): boolean;

  /** Fills `into` (READING_SLOTS) with CLOCK_REALTIME and CLOCK_MONOTONIC_RAW of one moment. */
  readClocks(into: BigInt64Array): void;
  /** Fills `into` with 8 bytes at `position` of a device whose positions are registers (/dev/cpu/N/msr), and when they were read. */
  readRegister(fd: number, position: number, into: BigInt64Array): void;
  readClockState(): ClockState;
  /** The one function that changes the machine's clock. EPERM without CAP_SYS_TIME. */
  adjustClock(adjustment: ClockAdjustment): void;

  /** `onReadable` is called on the event loop as long as there are changes to drain; without it the loop is not involved. */
  watchDirectory(path: string, onReadable?: () => void): DirectoryWatch;
  watchAddresses(): AddressWatch;
}
