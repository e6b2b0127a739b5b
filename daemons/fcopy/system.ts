import fs from 'node:fs';
import { STAT_SLOTS } from '../../native/interface.ts';
import { checkReplaceable, problemOf } from './file-problems.ts';
import { type FileContext, type FilePolicy, type Files, procPath } from './files.ts';
import { IncomingFile } from './incoming.ts';
import type { Leftover } from './leftover.ts';
import { rootOf, type Target } from './names.ts';
import { Descriptors, Place } from './place.ts';
import { FileProblem, type Incoming, type Wishes } from './ports.ts';

/** Makes new files, in folders found step by step from a root. */
export class FileMaker {
  readonly #context: FileContext;

  constructor(native: Files, policy: FilePolicy, leftover: Leftover) {
    this.#context = { native, policy, leftover };
  }

  create(target: Target, sizeBytes: number, wishes: Wishes): Incoming {
    const root = rootOf(target.folders, this.#context.policy.roots);
    if (!root)
      throw new FileProblem('refused', 'it is in none of the folders that fcopy.roots names');
    const fds = new Descriptors();
    try {
      const place = new Place(this.#context.native, fds, root.folders, target, wishes.createPath);
      if (place.missing.length === 0)
        this.#checkEntry(place.folderFd, target.fileName, wishes.overwrite);
      this.#checkSpace(place.folderFd, sizeBytes);
      return new IncomingFile(this.#context, fds, place, sizeBytes, wishes.overwrite);
    } catch (error) {
      fds.close();
      throw problemOf(error);
    }
  }

  #checkEntry(folderFd: number, name: string, overwrite: boolean): void {
    const stat = new BigInt64Array(STAT_SLOTS);
    if (this.#context.native.statEntry(folderFd, name, stat)) checkReplaceable(stat, overwrite);
  }

  #checkSpace(folderFd: number, sizeBytes: number): void {
    const { bsize, bavail, blocks } = fs.statfsSync(procPath(folderFd), { bigint: true });
    // Some file systems don't know how large they are
    if (blocks === 0n) return;
    const free = bavail * bsize;
    const { reserveBytes } = this.#context.policy;
    if (free < BigInt(sizeBytes) + reserveBytes) {
      const reserve =
        reserveBytes > 0n ? `, ${reserveBytes} of which are reserved (fcopy.reserve_mib)` : '';
      throw new FileProblem('diskFull', `there are ${free} bytes free${reserve}`);
    }
  }
}
