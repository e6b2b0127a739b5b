import type { DamageReports } from './damage-reports.ts';
import type { FileChanges } from './file-changes.ts';
import { KeySearch } from './key-search.ts';
import { KeyWriter } from './key-writer.ts';
import type { LockedFile } from './locked-file.ts';
import { ReadAhead } from './read-ahead.ts';
import type { RawKey } from './record.ts';
import { RecordDecoder } from './record-decoder.ts';
import { RecordReader } from './record-reader.ts';
import { RecordWriter } from './record-writer.ts';
import type { PoolLog, PoolNative, PoolRecord } from './types.ts';

/** What a pool file holds, and what is remembered of that between operations. */
export class PoolContent {
  readonly #reader: RecordReader;
  readonly #decoder: RecordDecoder;
  readonly #search: KeySearch;
  readonly #keyWriter: KeyWriter;
  readonly #ahead: ReadAhead;

  constructor(
    file: LockedFile,
    changes: FileChanges,
    damage: DamageReports,
    { native, log }: { readonly native: PoolNative; readonly log: PoolLog },
  ) {
    this.#reader = new RecordReader(file, changes, damage);
    this.#decoder = new RecordDecoder(damage);
    this.#search = new KeySearch(this.#reader, damage);
    const writer = new RecordWriter(file, this.#reader, native, log);
    this.#keyWriter = new KeyWriter(this.#search, this.#reader, writer);
    this.#ahead = new ReadAhead(file, changes, this.#reader, this.#decoder);
  }

  /** Another file is open now, or none. */
  forgetKeys(): void {
    this.#search.forget();
  }

  forget(): void {
    this.#search.forget();
    this.#ahead.clear();
  }

  /** Another program changed the file. */
  takeIn(sizeBytes: number): void {
    this.#ahead.clear();
    this.#reader.setSize(sizeBytes);
    this.#search.doubt();
  }

  /** As it is after what we did. */
  get sizeBytes(): number {
    return this.#reader.sizeBytes;
  }

  // Between the file's begin and end, or when it isUnchanged():

  get count(): number {
    return this.#reader.records;
  }

  /** The record, if it has been read ahead. */
  atRemembered(index: number): PoolRecord | undefined {
    return this.#ahead.step(index);
  }

  /**
   * Whether a look at the file would not tell more about this key: then `getRemembered` answers.
   */
  remembers(key: RawKey): boolean {
    if (!this.#search.isCertain) return false;
    const at = this.#search.indexed(key);
    return at === undefined || this.#ahead.has(at);
  }

  getRemembered(key: RawKey): string | undefined {
    const at = this.#search.indexed(key);
    return at === undefined ? undefined : this.#ahead.valueAt(at);
  }

  // Between begin and end of the file:

  at(index: number): PoolRecord | undefined {
    if (index >= this.count) return undefined;
    this.#ahead.read(index);
    return this.#ahead.step(index);
  }

  get(key: RawKey): string | undefined {
    const at = this.#search.find(key);
    if (at < 0) return undefined;
    this.#ahead.readSmallPool();
    return this.#decoder.value(this.#reader.record, 0);
  }

  /** Between exclusive begin and end. Returns false when all was as it is to be. */
  set(key: RawKey, value: string): boolean {
    const written = this.#keyWriter.set(key, value);
    if (written) this.#ahead.clear();
    return written;
  }

  /** Between exclusive begin and end. Returns false when there was no such record. */
  delete(key: RawKey): boolean {
    const deleted = this.#keyWriter.delete(key);
    if (deleted) this.#ahead.clear();
    return deleted;
  }

  list(): PoolRecord[] {
    this.#reader.refuseHuge();
    const records: PoolRecord[] = [];
    this.#reader.scan(0, (bytes, start) => {
      const key = this.#decoder.key(bytes, start);
      if (key !== '') records.push({ key, value: this.#decoder.value(bytes, start) });
    });
    return records;
  }
}
