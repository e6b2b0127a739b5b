import fs from 'node:fs';
import { type NativeError, STAT_SLOTS } from '../../native/interface.ts';
import { checkReplaceable } from './file-problems.ts';
import type { FileContext } from './files.ts';
import { temporaryName } from './leftover.ts';
import type { Place } from './place.ts';

const MAX_ATTEMPTS = 3;

/** Makes a file without a name, where the file system has such files, and names it at the end. */
export class FileNaming {
  readonly #context: FileContext;
  readonly #place: Place;
  readonly #overwrite: boolean;
  /** In the place, because its file system has no files without a name. */
  #temporaryName: string | undefined;

  constructor(context: FileContext, place: Place, overwrite: boolean) {
    this.#context = context;
    this.#place = place;
    this.#overwrite = overwrite;
  }

  /** Returns the new file's descriptor. */
  create(): number {
    const { native, leftover } = this.#context;
    const { folderFd, folder } = this.#place;
    try {
      return native.createFile(folderFd);
    } catch (error) {
      const { code } = error as NativeError;
      // EISDIR: a file system that takes the flag for another one
      if (code !== 'EOPNOTSUPP' && code !== 'EISDIR') throw error;
    }
    const name = temporaryName();
    leftover.note(folder, name);
    try {
      const fd = native.createFile(folderFd, name);
      this.#temporaryName = name;
      return fd;
    } catch (error) {
      leftover.forget();
      throw error;
    }
  }

  /** Gives the file owner, mode and name. */
  name(fd: number, folderFd: number): void {
    const { native, policy } = this.#context;
    const { fileName } = this.#place;
    const stat = new BigInt64Array(STAT_SLOTS);
    for (let attempt = 1; ; attempt++) {
      const exists = native.statEntry(folderFd, fileName, stat);
      if (exists) {
        checkReplaceable(stat, this.#overwrite);
        native.copyOwnership(folderFd, fileName, fd);
      } else {
        const { owner, mode } = policy;
        if (owner) fs.fchownSync(fd, owner.uid, owner.gid);
        fs.fchmodSync(fd, mode);
      }
      try {
        this.#give(fd, folderFd, fileName, exists);
        return;
      } catch (error) {
        // It appeared just now: it is looked at as if it had been there before
        if ((error as NativeError).code !== 'EEXIST' || attempt === MAX_ATTEMPTS) throw error;
      }
    }
  }

  #give(fd: number, folderFd: number, name: string, replace: boolean): void {
    const { native, leftover } = this.#context;
    if (this.#temporaryName !== undefined) {
      native.renameFile(this.#place.folderFd, this.#temporaryName, folderFd, name, replace);
      this.#temporaryName = undefined;
      leftover.forget();
      return;
    }
    if (!replace) {
      native.nameFile(fd, folderFd, name);
      return;
    }
    // A file without a name can't take the place of one that has it: it gets another one for a
    // moment
    const temporary = temporaryName();
    leftover.note(this.#place.folder, temporary);
    native.nameFile(fd, folderFd, temporary);
    try {
      native.renameFile(folderFd, temporary, folderFd, name, true);
      leftover.forget();
    } catch (error) {
      this.#remove(folderFd, temporary);
      throw error;
    }
  }

  /** Removes the temporary name, if it has one. */
  drop(): void {
    if (this.#temporaryName !== undefined) this.#remove(this.#place.folderFd, this.#temporaryName);
    this.#temporaryName = undefined;
  }

  #remove(folderFd: number, temporary: string): void {
    const { native, leftover } = this.#context;
    try {
      native.removeFile(folderFd, temporary);
      leftover.forget();
    } catch {
      // Noted, and removed by the next process
    }
  }
}
