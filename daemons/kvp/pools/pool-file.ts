import fs from 'node:fs';
import path from 'node:path';
import { type NativeError, STAT_SLOTS, StatSlot } from '../../../native/interface.ts';
import {
  type Damage,
  decodeText,
  encodeRecord,
  KEY_BYTES,
  MAX_KEY_BYTES,
  type RawKey,
  RECORD_BYTES,
  textEnd,
  VALUE_BYTES,
} from './record.ts';
import { RecordIndex } from './record-index.ts';
import { PoolError, type PoolLog, type PoolNative, type PoolRecord } from './types.ts';

const { O_RDONLY, O_RDWR, O_CREAT, O_EXCL, O_WRONLY, O_APPEND, O_NOFOLLOW, O_NONBLOCK } =
  fs.constants;
// A file of this name might be a FIFO, whose open would wait
const OPEN_FLAGS = O_NONBLOCK;

const FILE_MODE = 0o644;
const DIRECTORY_MODE = 0o755;

/** Read at a time when keys are collected. */
const SCAN_RECORDS = 100;
/** Read ahead when a host walks through the records; a pool this small is held whole (80 KiB). */
const WINDOW_RECORDS = 32;
/**
 * Keys of more records (1.3 GB of file) are not collected: that would stall the daemon and fill its
 * memory.
 */
export const MAX_INDEXED_RECORDS = 500_000;
/** How often a file may be replaced under our hands before we give up. */
const MAX_REOPENS = 10;

const STAT_WORDS = STAT_SLOTS * 2;
const COMPARED_WORDS = (StatSlot.ctimeNs + 1) * 2;
const SIZE_WORD = StatSlot.sizeBytes * 2;
const IDENTITY_WORDS = (StatSlot.ino + 1) * 2;

/** A stat result, also as 32-bit words: comparing bigints would allocate on every operation. */
class FileStat {
  readonly slots = new BigInt64Array(STAT_SLOTS);
  readonly #words = new Uint32Array(this.slots.buffer, 0, STAT_WORDS);

  get sizeBytes(): number {
    return (this.#words[SIZE_WORD] as number) + (this.#words[SIZE_WORD + 1] as number) * 2 ** 32;
  }

  equals(other: FileStat): boolean {
    return this.#sameWords(other, COMPARED_WORDS);
  }

  sameFile(other: FileStat): boolean {
    return this.#sameWords(other, IDENTITY_WORDS);
  }

  copyFrom(other: FileStat): void {
    this.#words.set(other.#words);
  }

  #sameWords(other: FileStat, count: number): boolean {
    for (let i = 0; i < count; i++) if (this.#words[i] !== other.#words[i]) return false;
    return true;
  }
}

/** What all files of a store share. */
export interface PoolFileContext {
  readonly native: PoolNative;
  readonly log: PoolLog;
  readonly readOnly: boolean;
  /**
   * Marks the files that others changed since the last call (`touch`), except `own`, whose changes
   * are ours. False: the folder can't be watched, so nothing may be concluded.
   */
  drainChanges(own?: PoolFile): boolean;
  /** The folder is there (again), so it can be watched. */
  directoryReady(): void;
}

const DAMAGE_TEXT: Record<Damage | 'fragment' | 'duplicates', string> = {
  unterminated:
    'A pool file holds a text that fills its field without a NUL; read up to the end of the field',
  invalidText:
    'A pool file holds a text that is not valid UTF-8; shown with replacement characters',
  fragment:
    'A pool file ends in a partial record; ignored, and set aside before the next record is added',
  duplicates:
    'A pool file holds several records of one key; the first one counts, a change goes to all',
};

/**
 * One pool file. Every operation is `begin`, work, `end`: `begin` locks the file and looks for
 * changes by others, so that what is remembered between operations (the size, which key is where,
 * some records) is either still true or known to be doubtful. Reading can do without the lock while
 * the file is as it was when last looked at under one (`isUnchanged`): what is remembered was
 * whole.
 */
export class PoolFile {
  readonly path: string;
  readonly #context: PoolFileContext;
  #fd = -1;
  #writable = false;
  #locked = false;
  #mode: 'shared' | 'exclusive' = 'shared';
  /**
   * Somebody else changed the file, says inotify; a change within one tick of the file system's
   * clock shows in no stat.
   */
  #touched = true;
  /** The file as it was when last looked at, and a second one to look with. */
  readonly #known = new FileStat();
  readonly #now = new FileStat();
  #sizeBytes = 0;
  #records = 0;
  #index: RecordIndex | undefined;
  /** Records may have changed under the index: a miss in it proves nothing. */
  #doubtful = false;
  #reported = new Set<string>();
  /** Records read ahead, from `#windowStart` on. */
  #window: Buffer | undefined;
  #windowStart = 0;
  #windowRecords = 0;
  #nextInWalk = 0;
  readonly #record = Buffer.from(new ArrayBuffer(RECORD_BYTES));
  readonly #desired = Buffer.from(new ArrayBuffer(RECORD_BYTES));
  readonly #recordWords = new Uint32Array(this.#record.buffer);
  readonly #desiredWords = new Uint32Array(this.#desired.buffer);
  readonly #onDamage = (damage: Damage): void => this.#report(damage);

  constructor(filePath: string, context: PoolFileContext) {
    this.path = filePath;
    this.#context = context;
  }

  /** Notes that another program changed the file. */
  touch(): void {
    this.#touched = true;
  }

  /** Opens the file, making it if it is missing. False: it is missing and we only read. */
  open(): boolean {
    if (this.#fd >= 0) return true;
    const { readOnly } = this.#context;
    if (!this.#openExisting()) {
      if (readOnly) return false;
      this.#create();
    }
    this.#context.directoryReady();
    this.#index = undefined;
    this.#touched = true;
    this.#reported.clear();
    return true;
  }

  /**
   * Whether the file is as it was when last looked at under a lock. Needs no lock: a write shows in
   * the file's times when it begins, or to inotify as soon as it is done; and a file that was
   * replaced or removed has lost a link, which changes its times.
   */
  isUnchanged(): boolean {
    if (this.#fd < 0 || !this.#context.drainChanges() || this.#touched) return false;
    return this.#context.native.stat(this.#fd, this.#now.slots) && this.#now.equals(this.#known);
  }

  /**
   * Locks the file and takes in what others did. False: there is no file, and we only read. `end`
   * must follow in any case.
   */
  begin(mode: 'shared' | 'exclusive'): boolean {
    const { native, readOnly } = this.#context;
    this.#mode = mode;
    if (readOnly && mode === 'exclusive') {
      throw new PoolError('readOnly', this.path, 'the pools were opened for reading only');
    }
    for (let reopens = 0; reopens < MAX_REOPENS; reopens++) {
      if (!this.open()) return false;
      if (mode === 'exclusive' && !this.#writable) this.#openForWriting();
      if (!native.tryLock(this.#fd, mode)) {
        throw new PoolError('locked', this.path, `${this.path} is locked by another program`);
      }
      this.#locked = true;
      if (this.isUnchanged()) return true;
      if (native.stat(this.path, this.#now.slots) && this.#now.sameFile(this.#known)) {
        this.#takeIn();
        return true;
      }
      // Replaced or removed: what we hold is no longer the pool
      this.close();
    }
    throw new PoolError('io', this.path, `${this.path} is being replaced again and again`);
  }

  end(): void {
    if (!this.#locked) return;
    this.#locked = false;
    this.#context.native.unlock(this.#fd);
  }

  /** Turns whatever an operation threw into a PoolError, and forgets what may no longer be true. */
  failure(error: unknown): PoolError {
    if (error instanceof PoolError) return error;
    this.#index = undefined;
    this.#touched = true;
    this.#windowRecords = 0;
    const { code, message } = error as NodeJS.ErrnoException;
    // Programming errors are not the file's
    if (code === undefined || !/^E[A-Z0-9]+$/.test(code)) throw error;
    if (FULL.has(code))
      return new PoolError('diskFull', this.path, `${this.path}: no space left (${code})`, error);
    if (DENIED.has(code) && this.#mode === 'exclusive')
      return new PoolError('readOnly', this.path, `${this.path} can't be written (${code})`, error);
    // A descriptor may have gone bad with its device: the next operation starts from the path
    this.close();
    return new PoolError('io', this.path, `${this.path}: ${message}`, error);
  }

  close(): void {
    if (this.#fd < 0) return;
    this.#locked = false;
    const fd = this.#fd;
    this.#fd = -1;
    this.#index = undefined;
    try {
      fs.closeSync(fd);
    } catch {
      // Closed all the same
    }
  }

  // Between begin and end, or when isUnchanged():

  get records(): number {
    return this.#records;
  }

  /** The record, if it has been read ahead. */
  atRemembered(index: number): PoolRecord | undefined {
    const start = this.#inWindow(index);
    if (start < 0) return undefined;
    this.#nextInWalk = index + 1;
    const window = this.#window!;
    return {
      key: this.#text(window, start, KEY_BYTES),
      value: this.#text(window, start + KEY_BYTES, VALUE_BYTES),
    };
  }

  /**
   * Whether a look at the file would not tell more about this key: then `getRemembered` answers.
   */
  remembers(key: RawKey): boolean {
    if (!this.#index || this.#doubtful || this.#index.records !== this.#records) return false;
    const at = this.#index.find(key);
    return at === undefined || this.#inWindow(at) >= 0;
  }

  getRemembered(key: RawKey): string | undefined {
    const at = this.#index?.find(key);
    return at === undefined
      ? undefined
      : this.#text(this.#window!, this.#inWindow(at) + KEY_BYTES, VALUE_BYTES);
  }

  // Between begin and end:

  at(index: number): PoolRecord | undefined {
    if (index >= this.#records) return undefined;
    this.#readWindow(index, index === this.#nextInWalk || index === 0);
    return this.atRemembered(index);
  }

  get(key: RawKey): string | undefined {
    const at = this.#find(key);
    if (at < 0) return undefined;
    if (this.#records <= WINDOW_RECORDS) this.#readWindow(0, true);
    return this.#text(this.#record, KEY_BYTES, VALUE_BYTES);
  }

  set(key: RawKey, value: string): void {
    encodeRecord(this.#desired, key, value);
    const at = this.#find(key);
    let written: boolean;
    if (at < 0) {
      this.#append(key);
      written = true;
    } else {
      written = this.#overwrite(at);
      for (const other of this.#index!.duplicates(key)) {
        if (this.#holds(other, key) && this.#overwrite(other)) written = true;
      }
    }
    if (written) this.#settle();
  }

  delete(key: RawKey): boolean {
    // All of a key's records have to go, so the index must be complete
    if (this.#doubtful) this.#index = undefined;
    if (this.#find(key) < 0) return false;
    const index = this.#index!;
    const positions = [index.find(key)!, ...index.duplicates(key)];
    const allThere = positions.every((at) => this.#holds(at, key));
    // Forgotten until it is done: a failure may leave a record twice
    this.#index = undefined;
    for (const at of positions.reverse()) {
      if (!allThere && !this.#holds(at, key)) continue;
      const position = at * RECORD_BYTES;
      if (position + RECORD_BYTES === this.#sizeBytes) fs.ftruncateSync(this.#fd, position);
      else this.#context.native.removeRange(this.#fd, position, RECORD_BYTES, this.#sizeBytes);
      this.#sizeBytes -= RECORD_BYTES;
      this.#records--;
    }
    if (allThere) {
      index.remove(key);
      this.#index = index;
    }
    this.#settle();
    return true;
  }

  list(): PoolRecord[] {
    this.#refuseHuge();
    const records: PoolRecord[] = [];
    this.#scan(0, (bytes, start) => {
      const key = decodeText(bytes, start, KEY_BYTES, this.#onDamage);
      if (key !== '')
        records.push({
          key,
          value: decodeText(bytes, start + KEY_BYTES, VALUE_BYTES, this.#onDamage),
        });
    });
    return records;
  }

  #openExisting(): boolean {
    const { readOnly } = this.#context;
    try {
      this.#adopt(fs.openSync(this.path, (readOnly ? O_RDONLY : O_RDWR) | OPEN_FLAGS), !readOnly);
      return true;
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code ?? '';
      if (code === 'ENOENT') return false;
      if (readOnly || !DENIED.has(code)) throw error;
    }
    // Not writable, yet hosts may still read it
    this.#adopt(fs.openSync(this.path, O_RDONLY | OPEN_FLAGS), false);
    return true;
  }

  #create(): void {
    makeDirectory(path.dirname(this.path));
    let fd: number;
    try {
      fd = fs.openSync(this.path, O_RDWR | O_CREAT | O_EXCL | OPEN_FLAGS, FILE_MODE);
    } catch (error) {
      // Another program was faster; otherwise the name is there and leads nowhere
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      if (this.#openExisting()) return;
      throw new PoolError(
        'io',
        this.path,
        `${this.path} can't be opened: is it a link without a target?`,
      );
    }
    // Whatever our umask is: programs that are not root read the pools
    fs.fchmodSync(fd, FILE_MODE);
    this.#adopt(fd, true);
  }

  #adopt(fd: number, writable: boolean): void {
    try {
      const isFile = fs.fstatSync(fd).isFile();
      if (!isFile) throw new PoolError('io', this.path, `${this.path} is not a regular file`);
      this.#context.native.stat(fd, this.#known.slots);
    } catch (error) {
      fs.closeSync(fd);
      throw error;
    }
    this.#fd = fd;
    this.#writable = writable;
  }

  #openForWriting(): void {
    const fd = fs.openSync(this.path, O_RDWR | OPEN_FLAGS);
    this.close();
    this.#adopt(fd, true);
    this.#touched = true;
  }

  /** Compares what stat says now with what was known. */
  #takeIn(): void {
    if (!this.#touched && this.#now.equals(this.#known)) return;
    this.#touched = false;
    this.#known.copyFrom(this.#now);
    this.#windowRecords = 0;
    this.#setSize(this.#now.sizeBytes);
    if (this.#index && this.#records < this.#index.records) this.#index = undefined;
    this.#doubtful = true;
  }

  #setSize(sizeBytes: number): void {
    this.#sizeBytes = sizeBytes;
    this.#records = Math.floor(sizeBytes / RECORD_BYTES);
    const fragmentBytes = sizeBytes % RECORD_BYTES;
    if (fragmentBytes > 0) this.#report('fragment', { fragmentBytes });
  }

  /**
   * After a change of ours, still locked: what the file looks like now is our doing, and no reason
   * for doubt.
   */
  #settle(): void {
    const { native } = this.#context;
    this.#windowRecords = 0;
    this.#context.drainChanges(this);
    native.stat(this.#fd, this.#known.slots);
    if (this.#known.sizeBytes !== this.#sizeBytes) this.#touched = true;
  }

  /**
   * Reads one record into `#record`. False when the file is shorter than it was, as with a program
   * that ignores locks.
   */
  #read(index: number): boolean {
    if (fs.readSync(this.#fd, this.#record, 0, RECORD_BYTES, index * RECORD_BYTES) === RECORD_BYTES)
      return true;
    this.#touched = true;
    return false;
  }

  /** Reads records from `first` on into the window: as many as fit, or just one. */
  #readWindow(first: number, many: boolean): void {
    const bytes = many
      ? Math.min(WINDOW_RECORDS, this.#records - first) * RECORD_BYTES
      : RECORD_BYTES;
    if (!this.#window || this.#window.length < bytes)
      this.#window = Buffer.from(new ArrayBuffer(bytes));
    const got = fs.readSync(this.#fd, this.#window, 0, bytes, first * RECORD_BYTES);
    // Shorter than it was: cut by a program that ignores locks
    if (got < bytes) this.#touched = true;
    this.#windowStart = first;
    this.#windowRecords = Math.floor(got / RECORD_BYTES);
  }

  /** Where a record starts in the window; -1 when it is not there. */
  #inWindow(index: number): number {
    const at = index - this.#windowStart;
    return at >= 0 && at < this.#windowRecords ? at * RECORD_BYTES : -1;
  }

  #text(bytes: Buffer, start: number, fieldBytes: number): string {
    return decodeText(bytes, start, fieldBytes, this.#onDamage);
  }

  #holds(index: number, key: RawKey): boolean {
    if (index >= this.#records || !this.#read(index)) return false;
    const end = key.length;
    return (
      (end > MAX_KEY_BYTES || this.#record[end] === 0) &&
      this.#record.toString('latin1', 0, end) === key
    );
  }

  /** The first record with this key, which is then in `#record`; -1 when there is none. */
  #find(key: RawKey): number {
    // So small that certainty costs nothing
    if (this.#doubtful && this.#records <= WINDOW_RECORDS) this.#index = undefined;
    for (let fresh = this.#index === undefined; ; fresh = true) {
      const index = this.#collectKeys();
      const at = index.find(key);
      if (at !== undefined && this.#holds(at, key)) return at;
      if (fresh || (at === undefined && !this.#doubtful)) return -1;
      this.#index = undefined;
    }
  }

  /** The index, brought up to the end of the file. */
  #collectKeys(): RecordIndex {
    this.#refuseHuge();
    if (!this.#index) {
      this.#index = new RecordIndex();
      this.#doubtful = false;
    }
    const index = this.#index;
    if (index.records < this.#records) {
      this.#scan(index.records, (bytes, start) => {
        index.append(bytes.toString('latin1', start, textEnd(bytes, start, KEY_BYTES)));
      });
      if (index.hasDuplicates) this.#report('duplicates');
    }
    return index;
  }

  #refuseHuge(): void {
    if (this.#records <= MAX_INDEXED_RECORDS) return;
    throw new PoolError(
      'io',
      this.path,
      `${this.path} holds ${this.#records} records; up to ${MAX_INDEXED_RECORDS} can be searched`,
    );
  }

  #scan(from: number, visit: (bytes: Buffer, start: number) => void): void {
    const chunk = Buffer.from(
      new ArrayBuffer(Math.min(SCAN_RECORDS, this.#records - from) * RECORD_BYTES),
    );
    for (let next = from; next < this.#records; ) {
      const wanted = Math.min(chunk.length, (this.#records - next) * RECORD_BYTES);
      const got = fs.readSync(this.#fd, chunk, 0, wanted, next * RECORD_BYTES);
      const whole = Math.floor(got / RECORD_BYTES);
      if (whole === 0) {
        // Cut by a program that ignores locks
        this.#records = next;
        this.#touched = true;
        return;
      }
      for (let i = 0; i < whole; i++) visit(chunk, i * RECORD_BYTES);
      next += whole;
    }
  }

  /**
   * Makes the record `index`, which is in `#record`, the desired one by writing what differs.
   * False: nothing does.
   */
  #overwrite(index: number): boolean {
    let first = 0;
    let last = this.#recordWords.length - 1;
    while (first <= last && this.#recordWords[first] === this.#desiredWords[first]) first++;
    if (first > last) return false;
    while (this.#recordWords[last] === this.#desiredWords[last]) last--;
    const start = first * 4;
    const end = (last + 1) * 4;
    const position = index * RECORD_BYTES + start;
    try {
      this.#writeAll(this.#desired.subarray(start, end), position);
      return true;
    } catch (error) {
      // A file with holes or copy-on-write can run out of space here as well; half a value must not
      // stay
      this.#context.native.writeWhole(this.#fd, this.#record.subarray(start, end), position);
      throw error;
    }
  }

  #append(key: RawKey): void {
    if (this.#records >= MAX_INDEXED_RECORDS) {
      throw new PoolError(
        'diskFull',
        this.path,
        `${this.path} is full: it holds ${this.#records} records`,
      );
    }
    const position = this.#records * RECORD_BYTES;
    if (this.#sizeBytes > position) this.#setFragmentAside(position);
    try {
      this.#writeAll(this.#desired, position);
    } catch (error) {
      fs.ftruncateSync(this.#fd, position);
      throw error;
    }
    this.#index!.append(key);
    this.#setSize(position + RECORD_BYTES);
  }

  #writeAll(bytes: Buffer, position: number): void {
    const written = this.#context.native.writeWhole(this.#fd, bytes, position);
    if (written < bytes.length)
      throw new PoolError('diskFull', this.path, `${this.path}: no space left`);
  }

  /** Saves the partial record at the end beside the file and cuts it off. */
  #setFragmentAside(position: number): void {
    const fragment = Buffer.alloc(this.#sizeBytes - position);
    const got = fs.readSync(this.#fd, fragment, 0, fragment.length, position);
    const aside = `${this.path}.damaged`;
    const fd = fs.openSync(aside, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK, 0o600);
    try {
      fs.writeFileSync(fd, fragment.subarray(0, got));
    } finally {
      fs.closeSync(fd);
    }
    fs.ftruncateSync(this.#fd, position);
    this.#setSize(position);
    this.#context.log.warning('Set the partial record at the end of a pool file aside', {
      path: this.path,
      savedTo: aside,
      fragmentBytes: got,
    });
  }

  #report(kind: keyof typeof DAMAGE_TEXT, fields?: object): void {
    if (this.#reported.has(kind)) return;
    this.#reported.add(kind);
    this.#context.log.warning(DAMAGE_TEXT[kind], { path: this.path, ...fields });
  }
}

/**
 * Not `recursive`: with it Node tries for ever where a folder's parent is there and yet ENOENT is
 * the answer, as in /proc.
 */
function makeDirectory(folder: string): void {
  try {
    fs.mkdirSync(folder, { mode: DIRECTORY_MODE });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') return;
    const parent = path.dirname(folder);
    if (code !== 'ENOENT' || fs.existsSync(parent)) throw error;
    makeDirectory(parent);
    makeDirectory(folder);
  }
}

const FULL: ReadonlySet<string> = new Set<NativeError['code']>(['ENOSPC', 'EDQUOT', 'EFBIG']);
const DENIED: ReadonlySet<string> = new Set<NativeError['code']>(['EACCES', 'EPERM', 'EROFS']);
