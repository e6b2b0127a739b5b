import { FileStat } from './file-stat.ts';
import type { PoolNative } from './types.ts';

/**
 * Tells whether another program changed the file. A change shows in the file's times and size, or
 * inotify reports it (`touch`): within one tick of the file system's clock no stat shows it.
 */
export class FileChanges {
  readonly #native: PoolNative;
  #touched = true;
  /** The file as it was when last looked at, and a second one to look with. */
  readonly #known = new FileStat();
  readonly #now = new FileStat();

  constructor(native: PoolNative) {
    this.#native = native;
  }

  /** Notes that the file may have changed. */
  touch(): void {
    this.#touched = true;
  }

  /** Takes the open file as the one that is known. */
  know(fd: number): void {
    this.#native.stat(fd, this.#known.slots);
  }

  /** Looks at the open file. Returns true if it is as it was when it was last taken in. */
  isUnchanged(fd: number): boolean {
    return (
      !this.#touched && this.#native.stat(fd, this.#now.slots) && this.#now.equals(this.#known)
    );
  }

  /** Looks at the path. Returns true if the open file is still there. */
  isAt(path: string): boolean {
    return this.#native.stat(path, this.#now.slots) && this.#now.sameFile(this.#known);
  }

  /** Takes the last look as what is known. Returns false if that is no news. */
  takeIn(): boolean {
    if (!this.#touched && this.#now.equals(this.#known)) return false;
    this.#touched = false;
    this.#known.copyFrom(this.#now);
    return true;
  }

  /** After a change of ours: what the file looks like now is known, if it has the right size. */
  settle(fd: number, sizeBytes: number): void {
    this.know(fd);
    if (this.#known.sizeBytes !== sizeBytes) this.#touched = true;
  }

  /** As known. */
  get sizeBytes(): number {
    return this.#known.sizeBytes;
  }
}
