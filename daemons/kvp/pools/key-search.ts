import type { DamageReports } from './damage-reports.ts';
import { KEY_BYTES, type RawKey, textEnd } from './record.ts';
import { RecordIndex } from './record-index.ts';
import type { RecordReader } from './record-reader.ts';
import { WINDOW_RECORDS } from './record-window.ts';

/** Finds records by their key, and keeps the index of keys up with the file. */
export class KeySearch {
  readonly #reader: RecordReader;
  readonly #damage: DamageReports;
  #index: RecordIndex | undefined;
  /** Records may have changed under the index: a miss in it proves nothing. */
  #doubtful = false;

  constructor(reader: RecordReader, damage: DamageReports) {
    this.#reader = reader;
    this.#damage = damage;
  }

  /** Drops the index: the file is another one, or was left half changed. */
  forget(): void {
    this.#index = undefined;
  }

  /** Another program changed the file. */
  doubt(): void {
    if (this.#index && this.#reader.records < this.#index.records) this.#index = undefined;
    this.#doubtful = true;
  }

  /** A look at the file would not tell more about where a key is: `indexed` is the truth. */
  get isCertain(): boolean {
    return (
      this.#index !== undefined && !this.#doubtful && this.#index.records === this.#reader.records
    );
  }

  /** Where the index has the first record with this key. */
  indexed(key: RawKey): number | undefined {
    return this.#index?.find(key);
  }

  /** Where the index has further records with this key. */
  duplicates(key: RawKey): readonly number[] {
    return this.#index?.duplicates(key) ?? [];
  }

  /** Takes in a record that was appended to the file, of which the index knew all records. */
  append(key: RawKey): void {
    this.#index!.append(key);
  }

  /** The first record with this key, which the reader has then read; -1 when there is none. */
  find(key: RawKey): number {
    // So small that certainty costs nothing
    if (this.#doubtful && this.#reader.records <= WINDOW_RECORDS) this.#index = undefined;
    for (let fresh = this.#index === undefined; ; fresh = true) {
      const index = this.#collectKeys();
      const at = index.find(key);
      if (at !== undefined && this.#reader.holds(at, key)) return at;
      if (fresh || (at === undefined && !this.#doubtful)) return -1;
      this.#index = undefined;
    }
  }

  /**
   * Takes the index out, to be given back (`giveBack`) when a change of many records is done: a
   * failure may leave a record twice. Undefined: there is no such key. The index is complete.
   */
  takeOut(key: RawKey): RecordIndex | undefined {
    if (this.#doubtful) this.#index = undefined;
    if (this.find(key) < 0) return undefined;
    const index = this.#index;
    this.#index = undefined;
    return index;
  }

  giveBack(index: RecordIndex): void {
    this.#index = index;
  }

  /** The index, brought up to the end of the file. */
  #collectKeys(): RecordIndex {
    const reader = this.#reader;
    reader.refuseHuge();
    if (!this.#index) {
      this.#index = new RecordIndex();
      this.#doubtful = false;
    }
    const index = this.#index;
    if (index.records < reader.records) {
      reader.scan(index.records, (bytes, start) => {
        index.append(bytes.toString('latin1', start, textEnd(bytes, start, KEY_BYTES)));
      });
      if (index.hasDuplicates) this.#damage.report('duplicates');
    }
    return index;
  }
}
