/**
 * The contract between the services and the operating system: bytes and file descriptors, nothing
 * about services.
 *
 * `index.ts` gives this contract from the compiled addon, `memory.ts` the same contract in memory
 * for tests.
 *
 * Rules that hold for every object here:
 * - Callbacks run on the environment's own event loop, one at a time. No thread of ours exists but
 *   those that look after running programs, which run no JavaScript and handle no signals.
 * - `close()` may be called twice and from inside a callback. After it no callback of that object
 *   runs.
 * - Whatever an object owns (descriptors, mappings, locks) is released by `close()`, and by the end
 *   of the environment (main thread, worker thread, `process.exit`) when nobody called it.
 * - Errors thrown or passed are `NativeError`s.
 */

/** A failed system call, or a broken ring. */
export interface NativeError extends Error {
  /**
   * The errno's name ("EIO"), or "ERING" for a ring whose control page or descriptors can't be
   * right.
   */
  readonly code: string;
  /** The positive errno; 0 for ERING. */
  readonly errno: number;
  /** The call that failed ("open", "read"), or the ring check that failed. */
  readonly syscall: string;
  readonly path?: string;
}

/** Why a channel ended by itself: the peer or the device went away ("gone"), or an error. */
export type ChannelEnd =
  | { readonly reason: 'gone' }
  | { readonly reason: 'error'; readonly error: NativeError };

/**
 * A file that is written from its start to an end known before, and the descriptor of it. A channel
 * that was given one (`stream`) writes to it, too: both see the same position.
 */
export interface FileSink {
  /** For syncing and naming the file; -1 after `close`. */
  readonly fd: number;
  /** Where the next part begins: what has been written so far. */
  readonly positionBytes: number;
  /** Writes the next part: all of it, or (throwing) as if nothing of it. EFBIG beyond the end. */
  write(bytes: Uint8Array): void;
  close(): void;
}

/**
 * Messages that carry the parts of a file, and the answer to each. They are like one that was
 * examined before (`sample`: its bytes up to the data), in everything but the offset in the file,
 * the length of the part, and the data. Positions are bytes in the message.
 */
export interface PartForm {
  readonly sample: Uint8Array;
  /** Of every such message. */
  readonly messageBytes: number;
  /** u64: where in the file the part lies. */
  readonly offsetAt: number;
  /** u32: bytes of the part. */
  readonly sizeAt: number;
  /** What the message has room for after the sample. */
  readonly roomBytes: number;
  /** The answer is the message with these bytes at its start, and of this length. */
  readonly answer: Uint8Array;
  readonly answerBytes: number;
  /**
   * Milliseconds after which an answer must not go out: the channel ends with ETIMEDOUT instead. 0:
   * no matter how late.
   */
  readonly limitMs: number;
}

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

/** One change in a watched folder. */
export interface DirectoryChange {
  /** File name within the folder; empty for the folder itself. */
  readonly name: string;
  /**
   * inotify mask (IN_*); IN_Q_OVERFLOW (0x4000) means that changes were lost: look at everything.
   */
  readonly mask: number;
}

/**
 * inotify on one folder, asked synchronously (the event loop is not involved unless `onReadable` is
 * given).
 */
export interface DirectoryWatch {
  /**
   * The changes since the last call, oldest first; undefined when there were none. Never blocks.
   */
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
export const StatSlot = {
  dev: 0,
  ino: 1,
  sizeBytes: 2,
  mtimeNs: 3,
  ctimeNs: 4,
  mode: 5,
  nlink: 6,
  uid: 7,
} as const;
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
  /**
   * Added gradually by the kernel, 500 us a second, instead of what is left of an earlier slew. It
   * ends by itself.
   */
  readonly slewUs?: number;
  /**
   * Declares the clock synchronized with this error; the kernel lets the error grow, and doubts the
   * clock in the end.
   */
  readonly errorUs?: number;
}

/**
 * What a program is given. It gets nothing else: no other descriptor, no blocked or ignored signal.
 */
export interface ProgramOptions {
  /** What follows the file's name in argv. */
  readonly args: readonly string[];
  /** "NAME=value": all of the environment. */
  readonly env: readonly string[];
  /** Its working folder; by default ours. */
  readonly cwd?: string;
  /** What it reads from its standard input; by default nothing. */
  readonly input?: Uint8Array;
  /** So much is kept of each of its outputs, at most 64 MiB; the rest is read and dropped. */
  readonly outputBytes: number;
  /**
   * It is made at least this nice (-20 to 19) if the system allows it; by default it is as nice as
   * we are.
   */
  readonly niceness?: number;
}

/** How a program ended; "error": it was not started, or nobody knows. */
export type ProgramEnd =
  | {
      readonly reason: 'exit';
      readonly status: number;
      readonly output: Uint8Array;
      readonly errors: Uint8Array;
    }
  | {
      readonly reason: 'signal';
      readonly signal: number;
      readonly output: Uint8Array;
      readonly errors: Uint8Array;
    }
  | { readonly reason: 'error'; readonly error: NativeError };

/**
 * A program that was started, in a process group of its own. Its number is nobody else's until
 * `close`.
 */
export interface Program {
  /** Its process and process group; undefined before `onStart` and after `close`. */
  readonly pid: number | undefined;
  /**
   * Sends a signal (its number) to the group: before the start is known it is sent as soon as there
   * is one, and after the end to what the program left behind.
   */
  kill(signal: number): void;
  /**
   * Kills the group of a program that has not ended. One that can't even be killed is left alone.
   */
  close(): void;
}

export interface Native {
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

  /**
   * A mark on an open file: all descriptors of one opening share it, in whatever process, and it
   * goes with the last of them. (The flag O_APPEND, which means nothing to devices and sockets.)
   */
  isMarked(fd: number): boolean;
  mark(fd: number): void;

  /**
   * Sends one datagram to a sd_notify socket (abstract with a leading "@"). False when nobody
   * listens.
   */
  notify(socketPath: string, message: string): boolean;

  /**
   * Takes both an open-file-description lock and a flock on a descriptor, without waiting. False
   * when another holds either in a conflicting mode; then neither is held.
   */
  tryLock(fd: number, mode: 'shared' | 'exclusive'): boolean;
  unlock(fd: number): void;
  /**
   * Fills `into` (STAT_SLOTS) with fstat (number) or stat (string) of a file. False: it does not
   * exist.
   */
  stat(file: number | string, into: BigInt64Array): boolean;
  /**
   * Writes all of `bytes` at `position` such that no kill of this process can tear it. A write
   * within one page is atomic against SIGKILL already; a longer one is done by a vfork child that
   * such a kill does not reach, if there can be one. Bytes that the file holds already may be left
   * out, so the caller has to hold the lock; after a kill the lock stays held until the write is
   * done. Returns the bytes written, fewer only when the file system says so (ENOSPC after a part).
   */
  writeWhole(fd: number, bytes: Uint8Array, position: number): number;
  /**
   * Removes `lengthBytes` at `position` of a file of `sizeBytes` by moving what follows forward and
   * cutting the end, also in a vfork child. Throws on failure; then the file may hold a part twice,
   * but has lost nothing.
   */
  removeRange(fd: number, position: number, lengthBytes: number, sizeBytes: number): void;

  /** A sink for an empty file, whose descriptor it takes over. */
  openSink(fd: number, sizeBytes: number): FileSink;

  /**
   * Opens a folder below another one. No name on the way leads out of that: `beneath`, a symbolic
   * link that would is an error (EXDEV); `rooted`, the folder is what "/" means to links. Kernels
   * before 5.6 follow no links at all (ENOTDIR). Descriptors are the caller's to close.
   */
  openFolder(folderFd: number, path: string, links: 'beneath' | 'rooted'): number;
  /**
   * Makes a folder of mode 0700, and opens it. Names are those of one entry, here and below; links
   * of that name are not followed.
   */
  makeFolder(folderFd: number, name: string): number;
  /**
   * A new, empty file of mode 0600; without a name it is one that nobody sees (EOPNOTSUPP where the
   * file system has no such files).
   */
  createFile(folderFd: number, name?: string): number;
  /** Gives a file without a name one. EEXIST. */
  nameFile(fd: number, folderFd: number, name: string): void;
  /** What has the new name is replaced at once; or (not `replace`) EEXIST. */
  renameFile(
    fromFolderFd: number,
    from: string,
    toFolderFd: number,
    to: string,
    replace: boolean,
  ): void;
  removeFile(folderFd: number, name: string): void;
  /** ENOTEMPTY. */
  removeFolder(folderFd: number, name: string): void;
  /** As `stat`, of an entry itself, not of what a link leads to. */
  statEntry(folderFd: number, name: string, into: BigInt64Array): boolean;
  /**
   * Gives a file the owner, mode, access list and security label of an entry; EINVAL when that is
   * no regular file.
   */
  copyOwnership(folderFd: number, name: string, fd: number): void;

  /**
   * Sends one datagram to a Unix socket, without waiting. False when nobody listens there, or has
   * no room for it.
   */
  sendDatagram(socketPath: string, bytes: Uint8Array): boolean;

  /** Fills `into` (READING_SLOTS) with CLOCK_REALTIME and CLOCK_MONOTONIC_RAW of one moment. */
  readClocks(into: BigInt64Array): void;
  /**
   * Fills `into` with 8 bytes at `position` of a device whose positions are registers
   * (/dev/cpu/N/msr), and when they were read.
   */
  readRegister(fd: number, position: number, into: BigInt64Array): void;
  readClockState(): ClockState;
  /** The one function that changes the machine's clock. EPERM without CAP_SYS_TIME. */
  adjustClock(adjustment: ClockAdjustment): void;

  /**
   * Starts a program without a shell. A `file` with a slash is a path; any other is looked for in
   * PATH of `env`. Returns at once: a slow disk, a large process or an output that floods hold
   * nobody up. `onStart` is told once it runs; `onEnd` once it has ended and its outputs are read,
   * at most 200 ms later should somebody keep them open. All failures are told by `onEnd`: syscall
   * "execve" with `file` (ENOENT, EACCES, ENOEXEC: neither a program of this machine nor a script
   * with "#!"), "chdir" with `cwd`, others without a path. Only when there is no thread or
   * descriptor to be had this throws (EAGAIN, EMFILE).
   */
  startProgram(
    file: string,
    options: ProgramOptions,
    onStart: (pid: number) => void,
    onEnd: (end: ProgramEnd) => void,
  ): Program;

  /**
   * `onReadable` is called on the event loop as long as there are changes to drain; without it the
   * loop is not involved.
   */
  watchDirectory(path: string, onReadable?: () => void): DirectoryWatch;
  watchAddresses(): AddressWatch;
}
