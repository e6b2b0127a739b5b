import type { FileChanges } from './file-changes.ts';
import type { LockedFile } from './locked-file.ts';
import type { RecordDecoder } from './record-decoder.ts';
import type { RecordReader } from './record-reader.ts';
import { RecordWindow, WINDOW_RECORDS } from './record-window.ts';
import type { PoolRecord } from './types.ts';

/** Remembers records that were read ahead: the next ones of a walk, or all of a small pool. */
export class ReadAhead {
  readonly #file: LockedFile;
  readonly #changes: FileChanges;
  readonly #reader: RecordReader;
  readonly #decoder: RecordDecoder;
  readonly #window = new RecordWindow();
  #nextInWalk = 0;

  constructor(
    file: LockedFile,
    changes: FileChanges,
    reader: RecordReader,
    decoder: RecordDecoder,
  ) {
    this.#file = file;
    this.#changes = changes;
    this.#reader = reader;
    this.#decoder = decoder;
  }

  clear(): void {
    this.#window.clear();
  }

  has(index: number): boolean {
    return this.#window.find(index) >= 0;
  }

  /** Returns the value of a record that it has. */
  valueAt(index: number): string {
    return this.#decoder.value(this.#window.bytes, this.#window.find(index));
  }

  /** Returns the record, if it has it, and takes that for a step of a walk. */
  step(index: number): PoolRecord | undefined {
    const start = this.#window.find(index);
    if (start < 0) return undefined;
    this.#nextInWalk = index + 1;
    return this.#decoder.record(this.#window.bytes, start);
  }

  /** Reads the record, and those after it if a walk has come to it. */
  read(index: number): void {
    this.#read(index, index === this.#nextInWalk || index === 0);
  }

  /** Reads all records of a pool that fits. */
  readSmallPool(): void {
    if (this.#reader.records <= WINDOW_RECORDS) this.#read(0, true);
  }

  /** Reads records from `first` on: as many as fit, or just one. */
  #read(first: number, many: boolean): void {
    const left = many ? this.#reader.records - first : 1;
    // Shorter than it was: cut by a program that ignores locks
    if (!this.#window.read(this.#file.fd, first, left)) this.#changes.touch();
  }
}
