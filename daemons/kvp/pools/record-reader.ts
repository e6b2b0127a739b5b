import fs from 'node:fs';
import type { DamageReports } from './damage-reports.ts';
import type { FileChanges } from './file-changes.ts';
import type { LockedFile } from './locked-file.ts';
import { MAX_KEY_BYTES, type RawKey, RECORD_BYTES } from './record.ts';
import { PoolError } from './types.ts';

/** Read at a time when keys are collected. */
const SCAN_RECORDS = 100;
/**
 * Keys of more records (1.3 GB of file) are not collected: that would stall the daemon and fill its
 * memory.
 */
export const MAX_INDEXED_RECORDS = 500_000;

/**
 * Reads records of a locked pool file. A file that is shorter than it was has been cut by a program
 * that ignores locks: then the file counts as changed.
 */
export class RecordReader {
  /** Of the file, as it was when last taken in or changed by us. */
  sizeBytes = 0;
  /** Whole records in the file. */
  records = 0;
  /** The record that was read last. */
  readonly record = Buffer.from(new ArrayBuffer(RECORD_BYTES));
  readonly #file: LockedFile;
  readonly #changes: FileChanges;
  readonly #damage: DamageReports;

  constructor(file: LockedFile, changes: FileChanges, damage: DamageReports) {
    this.#file = file;
    this.#changes = changes;
    this.#damage = damage;
  }

  setSize(sizeBytes: number): void {
    this.sizeBytes = sizeBytes;
    this.records = Math.floor(sizeBytes / RECORD_BYTES);
    const fragmentBytes = sizeBytes % RECORD_BYTES;
    if (fragmentBytes > 0) this.#damage.report('fragment', { fragmentBytes });
  }

  /** Reads one record into `record`; false when the file is shorter than it was. */
  read(index: number): boolean {
    const got = fs.readSync(this.#file.fd, this.record, 0, RECORD_BYTES, index * RECORD_BYTES);
    if (got === RECORD_BYTES) return true;
    this.#changes.touch();
    return false;
  }

  /** Reads one record into `record`. Returns true if it has this key. */
  holds(index: number, key: RawKey): boolean {
    if (index >= this.records || !this.read(index)) return false;
    const end = key.length;
    return (
      (end > MAX_KEY_BYTES || this.record[end] === 0) &&
      this.record.toString('latin1', 0, end) === key
    );
  }

  /** Throws if there are too many records to look at each. */
  refuseHuge(): void {
    if (this.records <= MAX_INDEXED_RECORDS) return;
    const { path } = this.#file;
    throw new PoolError(
      'io',
      path,
      `${path} holds ${this.records} records; up to ${MAX_INDEXED_RECORDS} can be searched`,
    );
  }

  /** Visits the records from `from` on, each at `start` in `bytes`. */
  scan(from: number, visit: (bytes: Buffer, start: number) => void): void {
    const chunk = Buffer.from(
      new ArrayBuffer(Math.min(SCAN_RECORDS, this.records - from) * RECORD_BYTES),
    );
    for (let next = from; next < this.records; ) {
      const wanted = Math.min(chunk.length, (this.records - next) * RECORD_BYTES);
      const got = fs.readSync(this.#file.fd, chunk, 0, wanted, next * RECORD_BYTES);
      const whole = Math.floor(got / RECORD_BYTES);
      if (whole === 0) {
        this.records = next;
        this.#changes.touch();
        return;
      }
      for (let i = 0; i < whole; i++) visit(chunk, i * RECORD_BYTES);
      next += whole;
    }
  }
}
