import type { DamageReports } from './damage-reports.ts';
import type { FileChanges } from './file-changes.ts';
import { KeySearch } from './key-search.ts';
import type { LockedFile } from './locked-file.ts';
import { decodeText, KEY_BYTES, type RawKey, RECORD_BYTES, VALUE_BYTES } from './record.ts';
import { RecordReader } from './record-reader.ts';
import { RecordWindow, WINDOW_RECORDS } from './record-window.ts';
import { RecordWriter } from './record-writer.ts';
import type { PoolLog, PoolNative, PoolRecord } from './types.ts';

/** What a pool file holds, and what is remembered of that between operations. */
export class PoolContent {
  readonly #file: LockedFile;
  readonly #changes: FileChanges;
  readonly #damage: DamageReports;
  readonly #reader: RecordReader;
  readonly #writer: RecordWriter;
  readonly #search: KeySearch;
  readonly #window = new RecordWindow();
  #nextInWalk = 0;

  constructor(
    file: LockedFile,
    changes: FileChanges,
    damage: DamageReports,
    { native, log }: { readonly native: PoolNative; readonly log: PoolLog },
  ) {
    this.#file = file;
    this.#changes = changes;
    this.#damage = damage;
    this.#reader = new RecordReader(file, changes, damage);
    this.#writer = new RecordWriter(file, this.#reader, native, log);
    this.#search = new KeySearch(this.#reader, damage);
  }

  /** Another file is open now, or none. */
  forgetKeys(): void {
    this.#search.forget();
  }

  forget(): void {
    this.#search.forget();
    this.#window.clear();
  }

  /** Another program changed the file. */
  takeIn(sizeBytes: number): void {
    this.#window.clear();
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
    const start = this.#window.find(index);
    if (start < 0) return undefined;
    this.#nextInWalk = index + 1;
    const { bytes } = this.#window;
    return {
      key: this.#text(bytes, start, KEY_BYTES),
      value: this.#text(bytes, start + KEY_BYTES, VALUE_BYTES),
    };
  }

  /**
   * Whether a look at the file would not tell more about this key: then `getRemembered` answers.
   */
  remembers(key: RawKey): boolean {
    if (!this.#search.isCertain) return false;
    const at = this.#search.indexed(key);
    return at === undefined || this.#window.find(at) >= 0;
  }

  getRemembered(key: RawKey): string | undefined {
    const at = this.#search.indexed(key);
    return at === undefined
      ? undefined
      : this.#text(this.#window.bytes, this.#window.find(at) + KEY_BYTES, VALUE_BYTES);
  }

  // Between begin and end of the file:

  at(index: number): PoolRecord | undefined {
    if (index >= this.count) return undefined;
    this.#readWindow(index, index === this.#nextInWalk || index === 0);
    return this.atRemembered(index);
  }

  get(key: RawKey): string | undefined {
    const at = this.#search.find(key);
    if (at < 0) return undefined;
    if (this.count <= WINDOW_RECORDS) this.#readWindow(0, true);
    return this.#text(this.#reader.record, KEY_BYTES, VALUE_BYTES);
  }

  /** Between exclusive begin and end. Returns false when all was as it is to be. */
  set(key: RawKey, value: string): boolean {
    const writer = this.#writer;
    writer.prepare(key, value);
    const at = this.#search.find(key);
    let written: boolean;
    if (at < 0) {
      writer.append();
      this.#search.append(key);
      this.#reader.setSize((this.count + 1) * RECORD_BYTES);
      written = true;
    } else {
      written = writer.overwrite(at);
      for (const other of this.#search.duplicates(key)) {
        if (this.#reader.holds(other, key) && writer.overwrite(other)) written = true;
      }
    }
    if (written) this.#window.clear();
    return written;
  }

  /** Between exclusive begin and end. Returns false when there was no such record. */
  delete(key: RawKey): boolean {
    // All of a key's records have to go, so the index must be complete; it is forgotten until it is
    // done
    const index = this.#search.takeOut(key);
    if (index === undefined) return false;
    const positions = [index.find(key)!, ...index.duplicates(key)];
    const allThere = positions.every((at) => this.#reader.holds(at, key));
    for (const at of positions.reverse()) {
      if (allThere || this.#reader.holds(at, key)) this.#writer.remove(at);
    }
    if (allThere) {
      index.remove(key);
      this.#search.giveBack(index);
    }
    this.#window.clear();
    return true;
  }

  list(): PoolRecord[] {
    this.#reader.refuseHuge();
    const records: PoolRecord[] = [];
    this.#reader.scan(0, (bytes, start) => {
      const key = this.#text(bytes, start, KEY_BYTES);
      if (key !== '')
        records.push({ key, value: this.#text(bytes, start + KEY_BYTES, VALUE_BYTES) });
    });
    return records;
  }

  /** Reads records from `first` on into the window: as many as fit, or just one. */
  #readWindow(first: number, many: boolean): void {
    const left = many ? this.count - first : 1;
    // Shorter than it was: cut by a program that ignores locks
    if (!this.#window.read(this.#file.fd, first, left)) this.#changes.touch();
  }

  #text(bytes: Buffer, start: number, fieldBytes: number): string {
    return decodeText(bytes, start, fieldBytes, this.#damage.onDamage);
  }
}
