/**
 * The contract of `interface.ts` in memory, for tests: the far side of every channel is an object
 * in the same process, locks and notifications are recorded, and what the kernel would report is
 * scripted. Files stay real, as the callers open them with node:fs.
 */
import { closeSync, fstatSync, ftruncateSync, readSync, statSync, writeSync } from 'node:fs';
import { constants } from 'node:os';
import type {
  AddressWatch,
  ChannelEnd,
  ClockAdjustment,
  ClockState,
  DirectoryChange,
  DirectoryWatch,
  FileSink,
  Listener,
  MessageChannel,
  Native,
  NativeError,
  OnPacket,
  PartForm,
  Program,
  ProgramEnd,
  ProgramOptions,
  RingChannel,
  RingStatistics,
} from '../interface.ts';
import { ReadingSlot, StatSlot } from '../interface.ts';
import { SimulatedClock } from './simulated-clock.ts';

type LockMode = 'shared' | 'exclusive';

// Taken now, so that a test's mocked timers do not stop the channels.
const nextTurn = setImmediate;

const CONTROL_PAGE_BYTES = 4096;
const PACKET_OVERHEAD_BYTES = 24;
const MAX_QUEUED = 64;
const BATCH_PACKETS = 64;
/** Far above real descriptors, so that a mix-up fails with EBADF. */
const FIRST_FD = 1_000_000;

/** Makes a NativeError as the addon does. */
export function nativeError(code: string, syscall: string, path?: string): NativeError {
  const errno = code === 'ERING' ? 0 : (constants.errno[code as keyof typeof constants.errno] ?? 0);
  const at = path === undefined ? {} : { path };
  return Object.assign(new Error(`${code}: ${syscall}${path === undefined ? '' : ` '${path}'`}`), {
    code,
    errno,
    syscall,
    ...at,
  });
}

/**
 * One end of a pair: takes what the other end sent, one item at a time, on later turns of the event
 * loop.
 */
abstract class End<Item> {
  readonly fd: number;
  protected readonly inbox: Item[] = [];
  protected closed = false;
  protected paused = false;
  private onEnd: ((end: ChannelEnd) => void) | undefined;
  private failure: ChannelEnd | undefined;
  private scheduled = false;

  constructor(fd: number) {
    this.fd = fd;
  }

  /** Takes items until nothing is left, the end is paused or closed, or a batch is full. */
  protected abstract take(): void;

  protected begin(onEnd: (end: ChannelEnd) => void): void {
    if (this.closed) throw nativeError('EBADF', 'start');
    if (this.onEnd) throw nativeError('EALREADY', 'start');
    this.onEnd = onEnd;
    this.wake();
  }

  protected get taking(): boolean {
    return this.onEnd !== undefined && !this.paused && !this.closed;
  }

  /** The channel ends once what was sent before has been taken; an error ends it at once. */
  fail(end: ChannelEnd): void {
    this.failure ??= end;
    if (end.reason === 'error') this.inbox.length = 0;
    this.wake();
  }

  wake(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    nextTurn(() => {
      this.scheduled = false;
      if (!this.taking) return;
      try {
        this.take();
      } finally {
        // Also after a callback has thrown: nothing is lost by that.
        if (this.taking && (this.inbox.length > 0 || this.failure)) this.wake();
      }
      if (this.taking && this.inbox.length === 0 && this.failure) {
        const onEnd = this.onEnd;
        this.onEnd = undefined;
        onEnd?.(this.failure);
      }
    });
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
    this.wake();
  }
}

class MemorySink implements FileSink {
  fd: number;
  positionBytes = 0;
  private readonly sizeBytes: number;

  constructor(fd: number, sizeBytes: number) {
    this.fd = fd;
    this.sizeBytes = sizeBytes;
  }

  get leftBytes(): number {
    return this.sizeBytes - this.positionBytes;
  }

  write(bytes: Uint8Array): void {
    if (this.fd < 0) throw nativeError('EBADF', 'pwrite');
    if (bytes.length > this.leftBytes) throw nativeError('EFBIG', 'pwrite');
    writeSync(this.fd, bytes, 0, bytes.length, this.positionBytes);
    this.positionBytes += bytes.length;
  }

  close(): void {
    if (this.fd >= 0) closeSync(this.fd);
    this.fd = -1;
  }
}

/** What a channel does by itself with the parts of a file. */
class Stream {
  private readonly sink: MemorySink;
  private readonly form: PartForm;
  private readonly sample: Uint8Array;
  private readonly answer: Uint8Array;

  constructor(sink: FileSink, form: PartForm) {
    if (!(sink instanceof MemorySink))
      throw new TypeError('stream takes a FileSink and the form of its messages');
    this.sink = sink;
    this.form = form;
    this.sample = form.sample.slice();
    this.answer = form.answer.slice();
  }

  /**
   * The answer to a message that carries the next part; undefined: it is none, or can't be written.
   */
  take(message: Uint8Array): Uint8Array | undefined {
    const { sink, form, sample } = this;
    if (sink.fd < 0 || message.length !== form.messageBytes) return undefined;
    const view = new DataView(message.buffer, message.byteOffset);
    const partBytes = view.getUint32(form.sizeAt, true);
    const varies = (at: number): boolean =>
      (at >= form.offsetAt && at < form.offsetAt + 8) ||
      (at >= form.sizeAt && at < form.sizeAt + 4);
    const isNext =
      view.getBigUint64(form.offsetAt, true) === BigInt(sink.positionBytes) &&
      partBytes > 0 &&
      partBytes <= Math.min(form.roomBytes, sink.leftBytes) &&
      sample.every((byte, at) => byte === message[at] || varies(at));
    if (!isNext) return undefined;
    try {
      sink.write(message.subarray(sample.length, sample.length + partBytes));
    } catch {
      return undefined;
    }
    const answer = message.slice(0, form.answerBytes);
    answer.set(this.answer);
    return answer;
  }
}

class MemoryMessageChannel extends End<Uint8Array> implements MessageChannel {
  peer: MemoryMessageChannel | undefined;
  readonly refusals: string[] = [];
  private readonly release: () => void;
  private buffer: Uint8Array = new Uint8Array();
  private onMessage: (lengthBytes: number) => void = () => {};
  private streamed: Stream | undefined;

  constructor(fd: number, release: () => void) {
    super(fd);
    this.release = release;
  }

  start(
    buffer: Uint8Array,
    onMessage: (lengthBytes: number) => void,
    onEnd: (end: ChannelEnd) => void,
  ): void {
    this.begin(onEnd);
    this.buffer = buffer;
    this.onMessage = onMessage;
  }

  protected take(): void {
    const message = this.inbox.shift();
    if (message === undefined) return;
    if (message.length > this.buffer.length) {
      this.fail({ reason: 'error', error: nativeError('EMSGSIZE', 'recv') });
      return;
    }
    const answer = this.streamed?.take(message);
    if (answer) {
      this.write(answer);
      return;
    }
    this.buffer.set(message);
    this.onMessage(message.length);
  }

  stream(sink: FileSink, form: PartForm): void {
    this.streamed = new Stream(sink, form);
  }

  write(message: Uint8Array): void {
    if (this.closed) throw nativeError('EBADF', 'write');
    const refusal = this.refusals.shift();
    if (refusal !== undefined) throw nativeError(refusal, 'write');
    if (this.peer === undefined || this.peer.closed) throw nativeError('EPIPE', 'write');
    this.peer.inbox.push(message.slice());
    this.peer.wake();
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.peer?.fail({ reason: 'gone' });
    this.release();
  }
}

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

class MemoryRingChannel extends End<Packet> implements RingChannel {
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

class MemoryDirectoryWatch implements DirectoryWatch {
  private pending: DirectoryChange[] = [];
  private closed = false;
  private readonly onReadable: (() => void) | undefined;
  private readonly release: (watch: MemoryDirectoryWatch) => void;

  constructor(
    onReadable: (() => void) | undefined,
    release: (watch: MemoryDirectoryWatch) => void,
  ) {
    this.onReadable = onReadable;
    this.release = release;
  }

  push(change: DirectoryChange): void {
    this.pending.push(change);
    if (this.pending.length > 1 || this.onReadable === undefined) return;
    nextTurn(() => {
      if (!this.closed && this.pending.length > 0) this.onReadable?.();
    });
  }

  drain(): readonly DirectoryChange[] | undefined {
    if (this.closed) throw nativeError('EBADF', 'read');
    const changes = this.pending;
    this.pending = [];
    return changes.length === 0 ? undefined : changes;
  }

  close(): void {
    this.closed = true;
    this.release(this);
  }
}

/** A program as the test plays it. */
export interface PlayedProgram {
  readonly options: ProgramOptions;
  /**
   * The signals it was sent, oldest first. They end nothing by themselves but when it is closed.
   */
  readonly signals: readonly number[];
  /** It ends, once. */
  end(end: ProgramEnd): void;
}

class MemoryProgram implements Program, PlayedProgram {
  readonly options: ProgramOptions;
  readonly signals: number[] = [];
  private readonly number: number;
  private readonly onEnd: (end: ProgramEnd) => void;
  private started = false;
  private ended = false;
  private closed = false;

  constructor(number: number, options: ProgramOptions, onEnd: (end: ProgramEnd) => void) {
    this.number = number;
    this.options = options;
    this.onEnd = onEnd;
  }

  get pid(): number | undefined {
    return this.started && !this.closed ? this.number : undefined;
  }

  start(onStart: (pid: number) => void, play: (program: PlayedProgram) => void): void {
    nextTurn(() => {
      if (this.closed) return;
      this.started = true;
      onStart(this.number);
      if (!this.closed) play(this);
    });
  }

  end(end: ProgramEnd): void {
    nextTurn(() => {
      if (this.ended || this.closed) return;
      this.ended = true;
      const kept = (bytes: Uint8Array): Uint8Array => bytes.slice(0, this.options.outputBytes);
      this.onEnd(
        end.reason === 'error'
          ? end
          : { ...end, output: kept(end.output), errors: kept(end.errors) },
      );
    });
  }

  kill(signal: number): void {
    if (!this.closed) this.signals.push(signal);
  }

  close(): void {
    if (!this.ended) this.kill(constants.signals.SIGKILL);
    this.closed = true;
  }
}

interface PendingConnection {
  readonly fd: number;
  /** The host's end, made when somebody takes the descriptor over. */
  readonly message?: MemoryMessageChannel;
  readonly ring?: (ringBytes: number) => MemoryRingChannel;
}

/** `Native` in memory, and the handles by which a test plays the kernel and the host. */
export class MemoryNative implements Native {
  /** Every notification, oldest first. */
  readonly notifications: { readonly socketPath: string; readonly message: string }[] = [];
  /** What `notify` returns. */
  notifyHeard = true;

  /** Every datagram sent to a socket that a test has opened with `hearDatagrams`, oldest first. */
  readonly datagrams: { readonly socketPath: string; readonly bytes: Uint8Array }[] = [];
  /** Every change made to the clock, oldest first. */
  readonly clockAdjustments: ClockAdjustment[] = [];
  /** Registers by position; none has a value until a test gives it one. */
  readonly registers = new Map<number, () => bigint>();
  /** CLOCK_MONOTONIC_RAW. */
  rawNs = 1_000_000_000n;
  /** CLOCK_REALTIME, which stands still unless `rawNs` is moved on: 2026-01-01. */
  readonly clock = new SimulatedClock(() => this.rawNs, 1_767_225_600_000_000_000n);
  /** The errno's name that `adjustClock` fails with: EPERM is a process without CAP_SYS_TIME. */
  refuseAdjustments: string | undefined;
  private readonly datagramSockets = new Set<string>();

  /**
   * Programs by what they are started as; each start calls `play` once it runs. All others fail
   * with ENOENT.
   */
  readonly programs = new Map<string, (program: PlayedProgram) => void>();

  private nextFd = FIRST_FD;
  private readonly devices = new Map<
    string,
    { accept: (host: MessageChannel) => void; busy: boolean }
  >();
  private readonly uios = new Map<string, { accept: (host: RingChannel) => void; busy: boolean }>();
  private readonly listeners = new Map<string, (connection: PendingConnection) => void>();
  private readonly connections = new Map<number, PendingConnection>();
  private readonly marks = new Set<number>();
  private readonly locks = new Map<string, Map<object | number, LockMode>>();
  private readonly directories = new Map<string, Set<MemoryDirectoryWatch>>();
  private addressGeneration = 0;

  // ---- what a test scripts ----

  /**
   * A char device appears at `path`: each opening calls `accept` with the kernel's end, whose
   * `close` destroys the device.
   */
  addMessageDevice(path: string, accept: (kernel: MessageChannel) => void): void {
    this.devices.set(path, { accept, busy: false });
  }

  /**
   * A UIO device appears at `path`: each opening calls `accept` with the host's end, whose `close`
   * is a rescind.
   */
  addUio(path: string, accept: (host: RingChannel) => void): void {
    this.uios.set(path, { accept, busy: false });
  }

  /** Opening `path` fails with ENOENT from now on; what is open stays open. */
  removeDevice(path: string): void {
    this.devices.delete(path);
    this.uios.delete(path);
  }

  /**
   * The next `write` on the other side of `channel` throws `code`: EINVAL is hv_utils that awaits
   * no reply.
   */
  refuseNextWrite(channel: MessageChannel, code: string): void {
    if (channel instanceof MemoryMessageChannel) channel.peer?.refusals.push(code);
  }

  /** The other side of `channel` finds its ring broken (ERING, `check`). */
  breakRing(channel: RingChannel, check: string): void {
    if (channel instanceof MemoryRingChannel) {
      channel.peer?.fail({ reason: 'error', error: nativeError('ERING', check) });
    }
  }

  /** Another process locks the file; the returned function unlocks it. */
  lockByOther(path: string, mode: LockMode): () => void {
    const { dev, ino } = statSync(path);
    const holders = this.holders(dev, ino);
    const other = {};
    holders.set(other, mode);
    return () => holders.delete(other);
  }

  /** The lock this process holds on the file behind `fd`. */
  lockOf(fd: number): LockMode | undefined {
    const { dev, ino } = fstatSync(fd);
    return this.holders(dev, ino).get(fd);
  }

  /** A watched folder reports a change. */
  directoryChanged(path: string, change: DirectoryChange): void {
    for (const watch of this.directories.get(path) ?? []) watch.push(change);
  }

  /** Somebody listens for datagrams on `path`. */
  hearDatagrams(path: string): void {
    this.datagramSockets.add(path);
  }

  /** Links or addresses have changed. */
  addressesChanged(): void {
    this.addressGeneration += 1;
  }

  // ---- the contract ----

  openMessageDevice(path: string): MessageChannel {
    const device = this.devices.get(path);
    if (device === undefined) throw nativeError('ENOENT', 'open', path);
    if (device.busy) throw nativeError('EBUSY', 'open', path);
    device.busy = true;
    const [guest, kernel] = this.messagePair(() => {
      device.busy = false;
    });
    device.accept(kernel);
    return guest;
  }

  connectMessageSocket(path: string): MessageChannel {
    if (!this.listeners.has(path)) throw nativeError('ENOENT', 'connect', path);
    const [guest, host] = this.messagePair(() => {});
    nextTurn(() => {
      const accept = this.listeners.get(path);
      if (accept) accept({ fd: host.fd, message: host });
      else host.close();
    });
    return guest;
  }

  adoptMessageChannel(fd: number): MessageChannel {
    const channel = this.connections.get(fd)?.message;
    if (channel === undefined) throw nativeError('EBADF', 'fcntl');
    this.connections.delete(fd);
    return channel;
  }

  openUio(path: string, mapBytes: number): RingChannel {
    const uio = this.uios.get(path);
    if (uio === undefined) throw nativeError('ENOENT', 'open', path);
    if (uio.busy) throw nativeError('EBUSY', 'open', path);
    if (mapBytes % (2 * CONTROL_PAGE_BYTES) !== 0 || mapBytes < 4 * CONTROL_PAGE_BYTES) {
      throw nativeError('EINVAL', 'mmap', path);
    }
    uio.busy = true;
    const [guest, host] = this.ringPair(mapBytes / 2, () => {
      uio.busy = false;
    });
    uio.accept(host);
    return guest;
  }

  /** There is nobody here to inherit from. */
  adoptRingChannel(_fd: number): RingChannel {
    throw nativeError('EBADF', 'fcntl');
  }

  /**
   * As nobody else can run meanwhile, the listener's callback is called from in here and has to
   * call `hostRing`.
   */
  connectRingSocket(path: string): RingChannel {
    const accept = this.listeners.get(path);
    if (accept === undefined) throw nativeError('ENOENT', 'connect', path);
    let connected: MemoryRingChannel | undefined;
    const fd = this.nextFd++;
    accept({
      fd,
      ring: (ringBytes) => {
        const [guest, host] = this.ringPair(ringBytes, () => {});
        connected = guest;
        return host;
      },
    });
    if (connected === undefined) throw nativeError('ETIMEDOUT', 'recvmsg', path);
    return connected;
  }

  hostRing(fd: number, ringBytes: number): RingChannel {
    const ring = this.connections.get(fd)?.ring;
    if (ring === undefined) throw nativeError('EBADF', 'fcntl');
    if (ringBytes % CONTROL_PAGE_BYTES !== 0 || ringBytes < 2 * CONTROL_PAGE_BYTES)
      throw nativeError('EINVAL', 'mmap');
    this.connections.delete(fd);
    return ring(ringBytes);
  }

  /** There is no shared memory here to break: see `breakRing`. */
  ringMemory(_channel: RingChannel): Uint8Array {
    throw nativeError('ENOTSUP', 'mmap');
  }

  listen(path: string): Listener {
    if (this.listeners.has(path)) throw nativeError('EADDRINUSE', 'bind', path);
    const backlog: PendingConnection[] = [];
    this.listeners.set(path, (connection) => backlog.push(connection));
    return {
      start: (onConnection) => {
        const accept = (connection: PendingConnection): void => {
          this.connections.set(connection.fd, connection);
          onConnection(connection.fd);
        };
        this.listeners.set(path, accept);
        for (const connection of backlog.splice(0)) nextTurn(() => accept(connection));
      },
      close: () => this.listeners.delete(path),
    };
  }

  isMarked(fd: number): boolean {
    return this.marks.has(fd);
  }

  mark(fd: number): void {
    this.marks.add(fd);
  }

  notify(socketPath: string, message: string): boolean {
    this.notifications.push({ socketPath, message });
    return this.notifyHeard;
  }

  sendDatagram(socketPath: string, bytes: Uint8Array): boolean {
    if (!this.datagramSockets.has(socketPath)) return false;
    this.datagrams.push({ socketPath, bytes: bytes.slice() });
    return true;
  }

  readClocks(into: BigInt64Array): void {
    this.clock.readClocks(into);
  }

  readRegister(_fd: number, position: number, into: BigInt64Array): void {
    const register = this.registers.get(position);
    if (register === undefined) throw nativeError('EIO', 'pread');
    into[ReadingSlot.value] = register();
    into[ReadingSlot.monotonicRawNs] = this.rawNs;
    into[ReadingSlot.uncertaintyNs] = 0n;
  }

  readClockState(): ClockState {
    return this.clock.readClockState();
  }

  adjustClock(adjustment: ClockAdjustment): void {
    if (this.refuseAdjustments !== undefined)
      throw nativeError(this.refuseAdjustments, 'clock_adjtime');
    this.clockAdjustments.push(adjustment);
    this.clock.adjustClock(adjustment);
  }

  openSink(fd: number, sizeBytes: number): FileSink {
    return new MemorySink(fd, sizeBytes);
  }

  /** Here and below: there are no folders in memory, and node:fs can't go by their descriptors. */
  openFolder(): never {
    throw nativeError('ENOTSUP', 'openat2');
  }

  makeFolder(): never {
    throw nativeError('ENOTSUP', 'mkdirat');
  }

  createFile(): never {
    throw nativeError('ENOTSUP', 'openat');
  }

  nameFile(): never {
    throw nativeError('ENOTSUP', 'linkat');
  }

  renameFile(): never {
    throw nativeError('ENOTSUP', 'renameat2');
  }

  removeFile(): never {
    throw nativeError('ENOTSUP', 'unlinkat');
  }

  removeFolder(): never {
    throw nativeError('ENOTSUP', 'unlinkat');
  }

  statEntry(): never {
    throw nativeError('ENOTSUP', 'fstatat');
  }

  copyOwnership(): never {
    throw nativeError('ENOTSUP', 'fchown');
  }

  tryLock(fd: number, mode: LockMode): boolean {
    const { dev, ino } = fstatSync(fd);
    const holders = this.holders(dev, ino);
    holders.delete(fd);
    for (const held of holders.values()) {
      if (mode === 'exclusive' || held === 'exclusive') return false;
    }
    holders.set(fd, mode);
    return true;
  }

  unlock(fd: number): void {
    const { dev, ino } = fstatSync(fd);
    this.holders(dev, ino).delete(fd);
  }

  stat(file: number | string, into: BigInt64Array): boolean {
    const options = { bigint: true } as const;
    const stats =
      typeof file === 'number'
        ? fstatSync(file, options)
        : statSync(file, { ...options, throwIfNoEntry: false });
    if (stats === undefined) return false;
    into[StatSlot.dev] = stats.dev;
    into[StatSlot.ino] = stats.ino;
    into[StatSlot.sizeBytes] = stats.size;
    into[StatSlot.mtimeNs] = stats.mtimeNs;
    into[StatSlot.ctimeNs] = stats.ctimeNs;
    into[StatSlot.mode] = stats.mode;
    into[StatSlot.nlink] = stats.nlink;
    into[StatSlot.uid] = stats.uid;
    return true;
  }

  writeWhole(fd: number, bytes: Uint8Array, position: number): number {
    return writeSync(fd, bytes, 0, bytes.length, position);
  }

  removeRange(fd: number, position: number, lengthBytes: number, sizeBytes: number): void {
    if (position < 0 || lengthBytes < 0 || position + lengthBytes > sizeBytes)
      throw nativeError('EINVAL', 'pwrite');
    if (fstatSync(fd).size !== sizeBytes) throw nativeError('ESTALE', 'fstat');
    const tail = new Uint8Array(sizeBytes - position - lengthBytes);
    readSync(fd, tail, 0, tail.length, position + lengthBytes);
    writeSync(fd, tail, 0, tail.length, position);
    ftruncateSync(fd, sizeBytes - lengthBytes);
  }

  startProgram(
    file: string,
    options: ProgramOptions,
    onStart: (pid: number) => void,
    onEnd: (end: ProgramEnd) => void,
  ): Program {
    const program = new MemoryProgram(this.nextFd++, options, onEnd);
    const play = this.programs.get(file);
    if (play === undefined)
      program.end({ reason: 'error', error: nativeError('ENOENT', 'execve', file) });
    else program.start(onStart, play);
    return program;
  }

  watchDirectory(path: string, onReadable?: () => void): DirectoryWatch {
    const watches = this.directories.get(path) ?? new Set();
    this.directories.set(path, watches);
    const watch = new MemoryDirectoryWatch(onReadable, (closed) => watches.delete(closed));
    watches.add(watch);
    return watch;
  }

  watchAddresses(): AddressWatch {
    let seen = this.addressGeneration;
    return {
      changed: () => {
        const changed = seen !== this.addressGeneration;
        seen = this.addressGeneration;
        return changed;
      },
      close: () => {},
    };
  }

  private holders(dev: number, ino: number): Map<object | number, LockMode> {
    const key = `${dev}:${ino}`;
    const holders = this.locks.get(key) ?? new Map<object | number, LockMode>();
    this.locks.set(key, holders);
    return holders;
  }

  private messagePair(release: () => void): [MemoryMessageChannel, MemoryMessageChannel] {
    const guest = new MemoryMessageChannel(this.nextFd++, release);
    const host = new MemoryMessageChannel(this.nextFd++, () => {});
    guest.peer = host;
    host.peer = guest;
    return [guest, host];
  }

  private ringPair(ringBytes: number, release: () => void): [MemoryRingChannel, MemoryRingChannel] {
    const dataBytes = ringBytes - CONTROL_PAGE_BYTES;
    const guest = new MemoryRingChannel(this.nextFd++, dataBytes, false, release);
    const host = new MemoryRingChannel(this.nextFd++, dataBytes, true, () => {});
    guest.peer = host;
    host.peer = guest;
    return [guest, host];
  }
}
