import fs from 'node:fs';
import path from 'node:path';
import type { NativeError } from '../../../native/interface.ts';
import type { FileChanges } from './file-changes.ts';
import { PoolError, type PoolNative } from './types.ts';

const { O_RDONLY, O_RDWR, O_CREAT, O_EXCL, O_NONBLOCK } = fs.constants;
// A file of this name might be a FIFO, whose open would wait
const OPEN_FLAGS = O_NONBLOCK;

const FILE_MODE = 0o644;
const DIRECTORY_MODE = 0o755;

/** Codes that mean that we have no right to write. */
export const DENIED: ReadonlySet<string> = new Set<NativeError['code']>([
  'EACCES',
  'EPERM',
  'EROFS',
]);

export type LockMode = 'shared' | 'exclusive';

/** Opens, makes, locks and closes a pool file. */
export class LockedFile {
  readonly path: string;
  /** -1 while it is closed. */
  fd = -1;
  readonly #native: PoolNative;
  readonly #changes: FileChanges;
  readonly #readOnly: boolean;
  #writable = false;
  #locked = false;

  constructor(filePath: string, native: PoolNative, changes: FileChanges, readOnly: boolean) {
    this.path = filePath;
    this.#native = native;
    this.#changes = changes;
    this.#readOnly = readOnly;
  }

  get isOpen(): boolean {
    return this.fd >= 0;
  }

  get isWritable(): boolean {
    return this.#writable;
  }

  /** Opens the file, making it if it is missing. False: it is missing and we only read. */
  open(): boolean {
    if (this.#openExisting()) return true;
    if (this.#readOnly) return false;
    this.#create();
    return true;
  }

  /** Opens the file anew, for writing; throws if that is not allowed. */
  reopenForWriting(): void {
    const fd = fs.openSync(this.path, O_RDWR | OPEN_FLAGS);
    this.close();
    this.#adopt(fd, true);
  }

  /** Throws if another program holds the lock. */
  lock(mode: LockMode): void {
    if (!this.#native.tryLock(this.fd, mode)) {
      throw new PoolError('locked', this.path, `${this.path} is locked by another program`);
    }
    this.#locked = true;
  }

  unlock(): void {
    if (!this.#locked) return;
    this.#locked = false;
    this.#native.unlock(this.fd);
  }

  close(): void {
    if (this.fd < 0) return;
    this.#locked = false;
    const fd = this.fd;
    this.fd = -1;
    try {
      fs.closeSync(fd);
    } catch {
      // Closed all the same
    }
  }

  #openExisting(): boolean {
    const readOnly = this.#readOnly;
    try {
      this.#adopt(fs.openSync(this.path, (readOnly ? O_RDONLY : O_RDWR) | OPEN_FLAGS), !readOnly);
      return true;
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code ?? '';
      if (code === 'ENOENT') return false;
      if (readOnly || !DENIED.has(code)) throw error;
    }
    // Not writable, yet hosts may still read it
    this.#adopt(fs.openSync(this.path, O_RDONLY | OPEN_FLAGS), false);
    return true;
  }

  #create(): void {
    makeDirectory(path.dirname(this.path));
    let fd: number;
    try {
      fd = fs.openSync(this.path, O_RDWR | O_CREAT | O_EXCL | OPEN_FLAGS, FILE_MODE);
    } catch (error) {
      // Another program was faster; otherwise the name is there and leads nowhere
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      if (this.#openExisting()) return;
      throw new PoolError(
        'io',
        this.path,
        `${this.path} can't be opened: is it a link without a target?`,
      );
    }
    // Whatever our umask is: programs that are not root read the pools
    fs.fchmodSync(fd, FILE_MODE);
    this.#adopt(fd, true);
  }

  #adopt(fd: number, writable: boolean): void {
    try {
      const isFile = fs.fstatSync(fd).isFile();
      if (!isFile) throw new PoolError('io', this.path, `${this.path} is not a regular file`);
      this.#changes.know(fd);
    } catch (error) {
      fs.closeSync(fd);
      throw error;
    }
    this.fd = fd;
    this.#writable = writable;
  }
}

/**
 * Not `recursive`: with it Node tries for ever where a folder's parent is there and yet ENOENT is
 * the answer, as in /proc.
 */
function makeDirectory(folder: string): void {
  try {
    fs.mkdirSync(folder, { mode: DIRECTORY_MODE });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') return;
    const parent = path.dirname(folder);
    if (code !== 'ENOENT' || fs.existsSync(parent)) throw error;
    makeDirectory(parent);
    makeDirectory(folder);
  }
}
