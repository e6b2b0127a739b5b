import { DamageReports } from './damage-reports.ts';
import { poolErrorOf } from './failures.ts';
import { FileChanges } from './file-changes.ts';
import { LockedFile, type LockMode } from './locked-file.ts';
import { PoolContent } from './pool-content.ts';
import type { RawKey } from './record.ts';
import { PoolError, type PoolLog, type PoolNative } from './types.ts';

/** How often a file may be replaced under our hands before we give up. */
const MAX_REOPENS = 10;

/** What all files of a store share. */
export interface PoolFileContext {
  readonly native: PoolNative;
  readonly log: PoolLog;
  readonly readOnly: boolean;
  /**
   * Marks the files that others changed since the last call (`touch`), except `own`, whose changes
   * are ours. False: the folder can't be watched, so nothing may be concluded.
   */
  drainChanges(own?: PoolFile): boolean;
  /** The folder is there (again), so it can be watched. */
  directoryReady(): void;
}

/**
 * One pool file. Every operation is `begin`, work, `end`: `begin` locks the file and looks for
 * changes by others, so that what is remembered between operations (the size, which key is where,
 * some records) is either still true or known to be doubtful. Reading can do without the lock while
 * the file is as it was when last looked at under one (`isUnchanged`): what is remembered was
 * whole.
 */
export class PoolFile {
  readonly path: string;
  /** Only between begin and end, or, where it says so, when isUnchanged(). */
  readonly content: PoolContent;
  readonly #context: PoolFileContext;
  readonly #damage: DamageReports;
  readonly #changes: FileChanges;
  readonly #file: LockedFile;
  #mode: LockMode = 'shared';

  constructor(filePath: string, context: PoolFileContext) {
    const { native, log, readOnly } = context;
    this.path = filePath;
    this.#context = context;
    this.#damage = new DamageReports(filePath, log);
    this.#changes = new FileChanges(native);
    this.#file = new LockedFile(filePath, native, this.#changes, readOnly);
    this.content = new PoolContent(this.#file, this.#changes, this.#damage, context);
  }

  /** Notes that another program changed the file. */
  touch(): void {
    this.#changes.touch();
  }

  /** Opens the file, making it if it is missing. False: it is missing and we only read. */
  open(): boolean {
    if (this.#file.isOpen) return true;
    if (!this.#file.open()) return false;
    this.#context.directoryReady();
    this.content.forgetKeys();
    this.#changes.touch();
    this.#damage.clear();
    return true;
  }

  /**
   * Whether the file is as it was when last looked at under a lock. Needs no lock: a write shows in
   * the file's times when it begins, or to inotify as soon as it is done; and a file that was
   * replaced or removed has lost a link, which changes its times.
   */
  isUnchanged(): boolean {
    if (!this.#file.isOpen || !this.#context.drainChanges()) return false;
    return this.#changes.isUnchanged(this.#file.fd);
  }

  /**
   * Locks the file and takes in what others did. False: there is no file, and we only read. `end`
   * must follow in any case.
   */
  begin(mode: LockMode): boolean {
    this.#mode = mode;
    if (this.#context.readOnly && mode === 'exclusive') {
      throw new PoolError('readOnly', this.path, 'the pools were opened for reading only');
    }
    for (let reopens = 0; reopens < MAX_REOPENS; reopens++) {
      if (!this.open()) return false;
      if (mode === 'exclusive' && !this.#file.isWritable) {
        this.#file.reopenForWriting();
        this.content.forgetKeys();
        this.#changes.touch();
      }
      this.#file.lock(mode);
      if (this.isUnchanged()) return true;
      if (this.#changes.isAt(this.path)) {
        if (this.#changes.takeIn()) this.content.takeIn(this.#changes.sizeBytes);
        return true;
      }
      // Replaced or removed: what we hold is no longer the pool
      this.close();
    }
    throw new PoolError('io', this.path, `${this.path} is being replaced again and again`);
  }

  end(): void {
    this.#file.unlock();
  }

  /** Turns whatever an operation threw into a PoolError, and forgets what may no longer be true. */
  failure(error: unknown): PoolError {
    if (error instanceof PoolError) return error;
    this.content.forget();
    this.#changes.touch();
    const failure = poolErrorOf(error, this.path, this.#mode);
    // A descriptor may have gone bad with its device: the next operation starts from the path
    if (failure.code === 'io') this.close();
    return failure;
  }

  close(): void {
    if (!this.#file.isOpen) return;
    this.content.forgetKeys();
    this.#file.close();
  }

  /** Between exclusive begin and end: see PoolContent. */
  set(key: RawKey, value: string): void {
    if (this.content.set(key, value)) this.#settle();
  }

  /** Between exclusive begin and end: see PoolContent. */
  delete(key: RawKey): boolean {
    const deleted = this.content.delete(key);
    if (deleted) this.#settle();
    return deleted;
  }

  /**
   * After a change of ours, still locked: what the file looks like now is our doing, and no reason
   * for doubt.
   */
  #settle(): void {
    this.#context.drainChanges(this);
    this.#changes.settle(this.#file.fd, this.content.sizeBytes);
  }
}
