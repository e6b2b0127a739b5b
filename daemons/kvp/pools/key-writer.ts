import type { KeySearch } from './key-search.ts';
import { type RawKey, RECORD_BYTES } from './record.ts';
import type { RecordReader } from './record-reader.ts';
import type { RecordWriter } from './record-writer.ts';

/** Changes all records of a key in a file that is locked exclusively. */
export class KeyWriter {
  readonly #search: KeySearch;
  readonly #reader: RecordReader;
  readonly #writer: RecordWriter;

  constructor(search: KeySearch, reader: RecordReader, writer: RecordWriter) {
    this.#search = search;
    this.#reader = reader;
    this.#writer = writer;
  }

  /** Returns false when all was as it is to be. */
  set(key: RawKey, value: string): boolean {
    const writer = this.#writer;
    writer.prepare(key, value);
    const at = this.#search.find(key);
    if (at < 0) {
      writer.append();
      this.#search.append(key);
      this.#reader.setSize((this.#reader.records + 1) * RECORD_BYTES);
      return true;
    }
    let written = writer.overwrite(at);
    for (const other of this.#search.duplicates(key)) {
      if (this.#reader.holds(other, key) && writer.overwrite(other)) written = true;
    }
    return written;
  }

  /** Returns false when there was no such record. */
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
    return true;
  }
}
