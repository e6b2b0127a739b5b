import fs from 'node:fs';
import path from 'node:path';
import { readText } from '../../runtime/files.ts';

/** The kernel's and systemd's files of the running guest. */
export class GuestFiles {
  readonly #root: string;

  /** `root` is "/" but in tests. */
  constructor(root: string) {
    this.#root = root;
  }

  path(file: string): string {
    return path.join(this.#root, file);
  }

  /** Returns '' for a file that can't be read. */
  text(file: string): string {
    return readText(this.path(file)) ?? '';
  }

  get hasSystemd(): boolean {
    return fs.existsSync(this.path('run/systemd/system')); // sd_booted(3)
  }
}
