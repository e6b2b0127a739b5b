import fs from 'node:fs';
import type { LockedFile } from './locked-file.ts';
import { encodeRecord, type RawKey, RECORD_BYTES } from './record.ts';
import { MAX_INDEXED_RECORDS, type RecordReader } from './record-reader.ts';
import { PoolError, type PoolLog, type PoolNative } from './types.ts';

const { O_WRONLY, O_CREAT, O_APPEND, O_NOFOLLOW, O_NONBLOCK } = fs.constants;

/** Writes, appends and removes records of a file that is locked exclusively. */
export class RecordWriter {
  readonly #file: LockedFile;
  readonly #reader: RecordReader;
  readonly #native: PoolNative;
  readonly #log: PoolLog;
  /** The record that is to be written. */
  readonly #desired = Buffer.from(new ArrayBuffer(RECORD_BYTES));
  readonly #desiredWords = new Uint32Array(this.#desired.buffer);
  readonly #readWords: Uint32Array;

  constructor(file: LockedFile, reader: RecordReader, native: PoolNative, log: PoolLog) {
    this.#file = file;
    this.#reader = reader;
    this.#native = native;
    this.#log = log;
    this.#readWords = new Uint32Array(reader.record.buffer);
  }

  /** Says what `overwrite` and `append` write. */
  prepare(key: RawKey, value: string): void {
    encodeRecord(this.#desired, key, value);
  }

  /**
   * Makes the record `index`, which was read last, the prepared one by writing what differs. False:
   * nothing does.
   */
  overwrite(index: number): boolean {
    let first = 0;
    let last = this.#readWords.length - 1;
    while (first <= last && this.#readWords[first] === this.#desiredWords[first]) first++;
    if (first > last) return false;
    while (this.#readWords[last] === this.#desiredWords[last]) last--;
    const start = first * 4;
    const end = (last + 1) * 4;
    const position = index * RECORD_BYTES + start;
    try {
      this.#writeAll(this.#desired.subarray(start, end), position);
      return true;
    } catch (error) {
      // A file with holes or copy-on-write can run out of space here as well; half a value must not
      // stay
      this.#native.writeWhole(this.#file.fd, this.#reader.record.subarray(start, end), position);
      throw error;
    }
  }

  /** Adds the prepared record at the end of the file. */
  append(): void {
    const { path, fd } = this.#file;
    const { records } = this.#reader;
    if (records >= MAX_INDEXED_RECORDS) {
      throw new PoolError('diskFull', path, `${path} is full: it holds ${records} records`);
    }
    const position = records * RECORD_BYTES;
    if (this.#reader.sizeBytes > position) this.#setFragmentAside(position);
    try {
      this.#writeAll(this.#desired, position);
    } catch (error) {
      fs.ftruncateSync(fd, position);
      throw error;
    }
  }

  /** Removes a record; those after it move up. */
  remove(index: number): void {
    const reader = this.#reader;
    const position = index * RECORD_BYTES;
    if (position + RECORD_BYTES === reader.sizeBytes) fs.ftruncateSync(this.#file.fd, position);
    else this.#native.removeRange(this.#file.fd, position, RECORD_BYTES, reader.sizeBytes);
    reader.sizeBytes -= RECORD_BYTES;
    reader.records--;
  }

  #writeAll(bytes: Buffer, position: number): void {
    const { path, fd } = this.#file;
    if (this.#native.writeWhole(fd, bytes, position) < bytes.length)
      throw new PoolError('diskFull', path, `${path}: no space left`);
  }

  /** Saves the partial record at the end beside the file and cuts it off. */
  #setFragmentAside(position: number): void {
    const { path, fd } = this.#file;
    const fragment = Buffer.alloc(this.#reader.sizeBytes - position);
    const fragmentBytes = fs.readSync(fd, fragment, 0, fragment.length, position);
    const savedTo = `${path}.damaged`;
    const flags = O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK;
    const aside = fs.openSync(savedTo, flags, 0o600);
    try {
      fs.writeFileSync(aside, fragment.subarray(0, fragmentBytes));
    } finally {
      fs.closeSync(aside);
    }
    fs.ftruncateSync(fd, position);
    this.#reader.setSize(position);
    this.#log.warning('Set the partial record at the end of a pool file aside', {
      path,
      savedTo,
      fragmentBytes,
    });
  }
}
