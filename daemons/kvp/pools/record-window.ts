import fs from 'node:fs';
import { RECORD_BYTES } from './record.ts';

/** Read ahead when a host walks through the records; a pool this small is held whole (80 KiB). */
export const WINDOW_RECORDS = 32;

/** Records read ahead. */
export class RecordWindow {
  bytes: Buffer = Buffer.alloc(0);
  #start = 0;
  #records = 0;

  clear(): void {
    this.#records = 0;
  }

  /** Returns where a record starts in `bytes`; -1 when it is not there. */
  find(index: number): number {
    const at = index - this.#start;
    return at >= 0 && at < this.#records ? at * RECORD_BYTES : -1;
  }

  /**
   * Reads records from `first` on: one, or as many of `left` as fit. Returns false when the file is
   * shorter than that.
   */
  read(fd: number, first: number, left: number): boolean {
    const bytes = Math.min(WINDOW_RECORDS, left) * RECORD_BYTES;
    if (this.bytes.length < bytes) this.bytes = Buffer.from(new ArrayBuffer(bytes));
    const got = fs.readSync(fd, this.bytes, 0, bytes, first * RECORD_BYTES);
    this.#start = first;
    this.#records = Math.floor(got / RECORD_BYTES);
    return got >= bytes;
  }
}
