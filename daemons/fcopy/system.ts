import fs from 'node:fs';
import {
  type FileSink,
  type Native,
  type NativeError,
  STAT_SLOTS,
  StatSlot,
} from '../../native/interface.ts';
import type { Leftover } from './leftover.ts';
import { temporaryName } from './leftover.ts';
import { rootOf, type Target } from './names.ts';
import type { Owner } from './options.ts';
import { FileProblem, type Incoming, type Wishes } from './ports.ts';

export interface FilePolicy {
  readonly roots: readonly { readonly folders: readonly string[] }[];
  readonly owner: Owner | undefined;
  readonly mode: number;
  readonly folderMode: number;
  /** Left free on the disk. */
  readonly reserveBytes: bigint;
}

type Files = Pick<
  Native,
  | 'openSink'
  | 'openFolder'
  | 'makeFolder'
  | 'createFile'
  | 'nameFile'
  | 'renameFile'
  | 'removeFile'
  | 'removeFolder'
  | 'statEntry'
  | 'copyOwnership'
  | 'stat'
>;

const { O_RDONLY, O_DIRECTORY } = fs.constants;
const MAX_ATTEMPTS = 3;

/** Makes new files, in folders found step by step from a root. */
export class FileMaker {
  readonly #native: Files;
  readonly #policy: FilePolicy;
  readonly #leftover: Leftover;

  constructor(native: Files, policy: FilePolicy, leftover: Leftover) {
    this.#native = native;
    this.#policy = policy;
    this.#leftover = leftover;
  }

  create(target: Target, sizeBytes: number, wishes: Wishes): Incoming {
    const root = rootOf(target.folders, this.#policy.roots);
    if (!root)
      throw new FileProblem('refused', 'it is in none of the folders that fcopy.roots names');
    const fds = new Descriptors();
    try {
      const place = new Place(this.#native, fds, root.folders, target, wishes.createPath);
      if (place.missing.length === 0)
        this.#checkEntry(place.folderFd, target.fileName, wishes.overwrite);
      this.#checkSpace(place.folderFd, sizeBytes);
      return new IncomingFile(
        this.#native,
        this.#policy,
        this.#leftover,
        fds,
        place,
        sizeBytes,
        wishes.overwrite,
      );
    } catch (error) {
      fds.close();
      throw problemOf(error);
    }
  }

  #checkEntry(folderFd: number, name: string, overwrite: boolean): void {
    const stat = new BigInt64Array(STAT_SLOTS);
    if (this.#native.statEntry(folderFd, name, stat)) checkReplaceable(stat, overwrite);
  }

  #checkSpace(folderFd: number, sizeBytes: number): void {
    const { bsize, bavail, blocks } = fs.statfsSync(procPath(folderFd), { bigint: true });
    // Some file systems don't know how large they are
    if (blocks === 0n) return;
    const free = bavail * bsize;
    const { reserveBytes } = this.#policy;
    if (free < BigInt(sizeBytes) + reserveBytes) {
      const reserve =
        reserveBytes > 0n ? `, ${reserveBytes} of which are reserved (fcopy.reserve_mib)` : '';
      throw new FileProblem('diskFull', `there are ${free} bytes free${reserve}`);
    }
  }
}

const procPath = (fd: number): string => `/proc/self/fd/${fd}`;

/** Whether what is there may be replaced; throws a FileProblem. */
function checkReplaceable(stat: BigInt64Array, overwrite: boolean): void {
  if (!overwrite)
    throw new FileProblem(
      'exists',
      'there is something of that name, and it is not to be replaced',
    );
  if ((Number(stat[StatSlot.mode]) & fs.constants.S_IFMT) !== fs.constants.S_IFREG) {
    throw new FileProblem('refused', 'what has that name is no file (a folder, a link, a device)');
  }
}

/** Open descriptors that are closed together. */
class Descriptors {
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
class Place {
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

class IncomingFile implements Incoming {
  readonly sink: FileSink;
  readonly #native: Files;
  readonly #policy: FilePolicy;
  readonly #leftover: Leftover;
  readonly #fds: Descriptors;
  readonly #place: Place;
  readonly #overwrite: boolean;
  /** Where files without a name are not to be had. */
  #temporaryName: string | undefined;

  constructor(
    native: Files,
    policy: FilePolicy,
    leftover: Leftover,
    fds: Descriptors,
    place: Place,
    sizeBytes: number,
    overwrite: boolean,
  ) {
    this.#native = native;
    this.#policy = policy;
    this.#leftover = leftover;
    this.#fds = fds;
    this.#place = place;
    this.#overwrite = overwrite;
    this.sink = native.openSink(this.#createFile(), sizeBytes);
  }

  #createFile(): number {
    const { folderFd, folder } = this.#place;
    try {
      return this.#native.createFile(folderFd);
    } catch (error) {
      const { code } = error as NativeError;
      // EISDIR: a file system that takes the flag for another one
      if (code !== 'EOPNOTSUPP' && code !== 'EISDIR') throw error;
    }
    const name = temporaryName();
    this.#leftover.note(folder, name);
    try {
      const fd = this.#native.createFile(folderFd, name);
      this.#temporaryName = name;
      return fd;
    } catch (error) {
      this.#leftover.forget();
      throw error;
    }
  }

  sync(): Promise<void> {
    return new Promise((resolve, reject) => {
      fs.fsync(this.sink.fd, (error) => (error ? reject(problemOf(error)) : resolve()));
    });
  }

  publish(): Promise<void> {
    const made: { readonly parentFd: number; readonly name: string }[] = [];
    let kept: number | undefined;
    try {
      this.#place.check();
      const folderFd = this.#makeFolders(made);
      // Its own descriptor, and had before there is no way back: it is synced when the others are
      // closed
      kept = fs.openSync(procPath(folderFd), O_RDONLY | O_DIRECTORY);
      this.#name(folderFd);
    } catch (error) {
      if (kept !== undefined) fs.closeSync(kept);
      for (const { parentFd, name } of made.reverse()) {
        try {
          this.#native.removeFolder(parentFd, name);
        } catch {
          // Somebody has put something into it
        }
      }
      throw problemOf(error);
    }
    const folderFd = kept;
    return new Promise((resolve) => {
      // What it fails with changes nothing: the file is there, and whole
      fs.fsync(folderFd, () => {
        fs.closeSync(folderFd);
        resolve();
      });
    });
  }

  close(): void {
    this.sink.close();
    if (this.#temporaryName !== undefined) this.#drop(this.#place.folderFd, this.#temporaryName);
    this.#temporaryName = undefined;
    this.#fds.close();
  }

  /** The folder itself, made where it was missing. */
  #makeFolders(made: { readonly parentFd: number; readonly name: string }[]): number {
    const { owner, folderMode } = this.#policy;
    let at = this.#place.folderFd;
    for (const name of this.#place.missing) {
      let next: number;
      try {
        next = this.#fds.keep(this.#native.makeFolder(at, name));
        made.push({ parentFd: at, name });
        if (owner) fs.fchownSync(next, owner.uid, owner.gid);
        fs.fchmodSync(next, folderMode);
      } catch (error) {
        if ((error as NativeError).code !== 'EEXIST') throw error;
        // Somebody was faster
        next = this.#fds.keep(this.#native.openFolder(at, name, 'beneath'));
      }
      at = next;
    }
    return at;
  }

  /** Owner, mode and name. */
  #name(folderFd: number): void {
    const { fileName } = this.#place;
    const stat = new BigInt64Array(STAT_SLOTS);
    for (let attempt = 1; ; attempt++) {
      const exists = this.#native.statEntry(folderFd, fileName, stat);
      if (exists) {
        checkReplaceable(stat, this.#overwrite);
        this.#native.copyOwnership(folderFd, fileName, this.sink.fd);
      } else {
        const { owner, mode } = this.#policy;
        if (owner) fs.fchownSync(this.sink.fd, owner.uid, owner.gid);
        fs.fchmodSync(this.sink.fd, mode);
      }
      try {
        this.#give(folderFd, fileName, exists);
        return;
      } catch (error) {
        // It appeared just now: it is looked at as if it had been there before
        if ((error as NativeError).code !== 'EEXIST' || attempt === MAX_ATTEMPTS) throw error;
      }
    }
  }

  #give(folderFd: number, name: string, replace: boolean): void {
    const native = this.#native;
    if (this.#temporaryName !== undefined) {
      native.renameFile(this.#place.folderFd, this.#temporaryName, folderFd, name, replace);
      this.#temporaryName = undefined;
      this.#leftover.forget();
      return;
    }
    if (!replace) {
      native.nameFile(this.sink.fd, folderFd, name);
      return;
    }
    // A file without a name can't take the place of one that has it: it gets another one for a
    // moment
    const temporary = temporaryName();
    this.#leftover.note(this.#place.folder, temporary);
    native.nameFile(this.sink.fd, folderFd, temporary);
    try {
      native.renameFile(folderFd, temporary, folderFd, name, true);
      this.#leftover.forget();
    } catch (error) {
      this.#drop(folderFd, temporary);
      throw error;
    }
  }

  #drop(folderFd: number, temporary: string): void {
    try {
      this.#native.removeFile(folderFd, temporary);
      this.#leftover.forget();
    } catch {
      // Noted, and removed by the next process
    }
  }
}

function problemOf(error: unknown): unknown {
  if (error instanceof FileProblem) return error;
  const { code, message, syscall } = error as NativeError;
  if (syscall === undefined) return error;
  switch (code) {
    case 'EEXIST':
      return new FileProblem('exists', 'something of that name appeared meanwhile', error);
    case 'ENOSPC':
    case 'EDQUOT':
      return new FileProblem('diskFull', message, error);
    case 'EXDEV':
      // Of a name it would mean that another file system was mounted there meanwhile
      if (syscall !== 'openat2' && syscall !== 'openat') break;
      return new FileProblem(
        'refused',
        'a symbolic link leads out of the folder it may be in',
        error,
      );
    case 'ELOOP':
    case 'ENOTDIR':
      return new FileProblem('refused', `something on the way is no folder: ${message}`, error);
  }
  return new FileProblem('failed', message, error);
}
