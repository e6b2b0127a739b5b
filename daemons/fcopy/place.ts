import fs from 'node:fs';
import { type NativeError, STAT_SLOTS, StatSlot } from '../../native/interface.ts';
import type { Files } from './files.ts';
import type { Target } from './names.ts';
import { FileProblem } from './ports.ts';

const { O_RDONLY, O_DIRECTORY } = fs.constants;

/** Open descriptors that are closed together. */
export class Descriptors {
  readonly #open: number[] = [];

  keep(fd: number): number {
    this.#open.push(fd);
    return fd;
  }

  close(): void {
    for (const fd of this.#open.splice(0)) fs.closeSync(fd);
  }
}

/**
 * A folder and a name in it; as long as some of the folders are missing, the innermost that is
 * there.
 */
export class Place {
  readonly #native: Files;
  readonly #rootFd: number;
  readonly #links: 'beneath' | 'rooted';
  readonly #there: string;
  readonly folderFd: number;
  /** Its folder as text, as it was asked for. */
  readonly folder: string;
  readonly missing: readonly string[];
  readonly fileName: string;

  constructor(
    native: Files,
    fds: Descriptors,
    root: readonly string[],
    target: Target,
    createPath: boolean,
  ) {
    this.#native = native;
    this.#rootFd = fds.keep(
      absentWhereMissing(() => fs.openSync(`/${root.join('/')}`, O_RDONLY | O_DIRECTORY)),
    );
    // The machine's own root can't be left, so links may begin with "/" there
    this.#links = root.length === 0 ? 'rooted' : 'beneath';
    this.fileName = target.fileName;
    const inside = target.folders.slice(root.length);
    for (let depth = inside.length; ; depth--) {
      const there = inside.slice(0, depth).join('/');
      try {
        this.folderFd = fds.keep(this.#open(there));
        this.#there = there;
        this.folder = `/${[...root, ...inside.slice(0, depth)].join('/')}`;
        this.missing = inside.slice(depth);
        return;
      } catch (error) {
        if (!isAbsent(error) || !createPath || depth === 0) throw error;
      }
    }
  }

  /**
   * Throws a FileProblem when the path now leads to another folder: it was moved, perhaps out of
   * its root.
   */
  check(): void {
    let now: number;
    try {
      now = this.#open(this.#there);
    } catch (error) {
      throw isAbsent(error)
        ? new FileProblem('failed', 'its folder was moved or removed meanwhile', error)
        : error;
    }
    try {
      const [before, after] = [new BigInt64Array(STAT_SLOTS), new BigInt64Array(STAT_SLOTS)];
      this.#native.stat(this.folderFd, before);
      this.#native.stat(now, after);
      if (
        before[StatSlot.dev] === after[StatSlot.dev] &&
        before[StatSlot.ino] === after[StatSlot.ino]
      )
        return;
      throw new FileProblem('failed', 'its folder was moved or replaced meanwhile');
    } finally {
      fs.closeSync(now);
    }
  }

  #open(there: string): number {
    return absentWhereMissing(() => this.#native.openFolder(this.#rootFd, there, this.#links));
  }
}

/** Only of a folder that is looked for: the same error has other meanings elsewhere. */
function absentWhereMissing(open: () => number): number {
  try {
    return open();
  } catch (error) {
    if ((error as NativeError).code !== 'ENOENT') throw error;
    throw new FileProblem('absent', 'there is no such folder, and none is to be made', error);
  }
}

const isAbsent = (error: unknown): boolean =>
  error instanceof FileProblem && error.result === 'absent';
