import path from 'node:path';
import type { DirectoryWatch } from '../../../native/interface.ts';
import { KVP_POOL_COUNT } from '../../../protocol/kvp/types.ts';
import { PoolFile, type PoolFileContext } from './pool-file.ts';
import { checkValue, rawKey } from './record.ts';
import { PoolError, type PoolLog, type PoolNative, type PoolRecord, type Pools } from './types.ts';

export const DEFAULT_POOL_DIRECTORY = '/var/lib/hyperv';

export const poolFileName = (pool: number): string => `.kvp_pool_${pool}`;

export interface PoolStoreOptions {
  readonly native: PoolNative;
  readonly log: PoolLog;
  /** Needs no right to write and makes nothing: a missing file or folder is an empty pool. */
  readonly readOnly?: boolean;
}

/**
 * inotify(7) masks: those that mean other contents, and those that mean the watch has lost its
 * folder.
 */
const IN_MODIFY = 0x2;
const IN_MOVED_FROM = 0x40;
const IN_MOVED_TO = 0x80;
const IN_CREATE = 0x100;
const IN_DELETE = 0x200;
const IN_DELETE_SELF = 0x400;
const IN_MOVE_SELF = 0x800;
const IN_UNMOUNT = 0x2000;
const IN_Q_OVERFLOW = 0x4000;
const IN_IGNORED = 0x8000;
const CHANGES = IN_MODIFY | IN_MOVED_FROM | IN_MOVED_TO | IN_CREATE | IN_DELETE;
const WATCH_LOST = IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT | IN_IGNORED;

/** The pool files of one folder. */
export class PoolStore implements Pools {
  readonly directory: string;
  readonly #options: PoolStoreOptions;
  readonly #files: readonly PoolFile[];
  readonly #byName: ReadonlyMap<string, PoolFile>;
  #watch: DirectoryWatch | undefined;
  #watchFailed = false;

  private constructor(directory: string, options: PoolStoreOptions) {
    this.directory = directory;
    this.#options = options;
    const context: PoolFileContext = {
      native: options.native,
      log: options.log,
      readOnly: options.readOnly ?? false,
      drainChanges: (own) => this.#drainChanges(own),
      directoryReady: () => this.#startWatch(),
    };
    this.#files = Array.from(
      { length: KVP_POOL_COUNT },
      (_, pool) => new PoolFile(path.join(directory, poolFileName(pool)), context),
    );
    this.#byName = new Map(this.#files.map((file, pool) => [poolFileName(pool), file]));
  }

  /**
   * Opens the pools of a folder, making what is missing (folder 0755, files 0644) unless
   * `readOnly`. A file that can't be opened is logged, and tried again with each operation on it.
   */
  static open(directory: string, options: PoolStoreOptions): PoolStore {
    const store = new PoolStore(directory, options);
    if (!options.readOnly) {
      for (const file of store.#files) {
        try {
          file.open();
        } catch (error) {
          options.log.error("Can't open a pool file", {
            path: file.path,
            error: file.failure(error),
          });
        }
      }
    }
    return store;
  }

  get(pool: number, key: string): string | undefined {
    const raw = rawKey(key);
    const file = this.#file(pool);
    try {
      if (file.isUnchanged() && file.content.remembers(raw)) {
        return file.content.getRemembered(raw);
      }
      return file.begin('shared') ? file.content.get(raw) : undefined;
    } catch (error) {
      throw file.failure(error);
    } finally {
      file.end();
    }
  }

  set(pool: number, key: string, value: string): void {
    const raw = rawKey(key);
    checkValue(value);
    const file = this.#file(pool);
    try {
      file.begin('exclusive');
      file.set(raw, value);
    } catch (error) {
      throw file.failure(error);
    } finally {
      file.end();
    }
  }

  delete(pool: number, key: string): boolean {
    const raw = rawKey(key);
    const file = this.#file(pool);
    try {
      file.begin('exclusive');
      return file.delete(raw);
    } catch (error) {
      throw file.failure(error);
    } finally {
      file.end();
    }
  }

  at(pool: number, index: number): PoolRecord | undefined {
    const file = this.#file(pool);
    try {
      if (file.isUnchanged()) {
        if (index >= file.content.count) return undefined;
        const record = file.content.atRemembered(index);
        if (record) return record;
      }
      return file.begin('shared') ? file.content.at(index) : undefined;
    } catch (error) {
      throw file.failure(error);
    } finally {
      file.end();
    }
  }

  list(pool: number): PoolRecord[] {
    const file = this.#file(pool);
    try {
      return file.begin('shared') ? file.content.list() : [];
    } catch (error) {
      throw file.failure(error);
    } finally {
      file.end();
    }
  }

  count(pool: number): number {
    const file = this.#file(pool);
    try {
      return file.begin('shared') ? file.content.count : 0;
    } catch (error) {
      throw file.failure(error);
    } finally {
      file.end();
    }
  }

  close(): void {
    for (const file of this.#files) file.close();
    this.#watch?.close();
    this.#watch = undefined;
  }

  #file(pool: number): PoolFile {
    const file = this.#files[pool];
    if (!file)
      throw new PoolError(
        'invalid',
        '',
        `there is no pool ${pool}; pools are 0 to ${KVP_POOL_COUNT - 1}`,
      );
    return file;
  }

  #startWatch(): void {
    if (this.#watch || this.#watchFailed) return;
    try {
      this.#watch = this.#options.native.watchDirectory(this.directory);
    } catch (error) {
      // Without it a change shows in the file's times and size, which tell nearly as much
      this.#watchFailed = true;
      this.#options.log.warning(
        "Can't watch the pools; changes by other programs are taken from the files' times",
        {
          path: this.directory,
          error,
        },
      );
    }
  }

  #drainChanges(own: PoolFile | undefined): boolean {
    if (!this.#watch) return false;
    const changes = this.#watch.drain();
    if (!changes) return true;
    for (const { name, mask } of changes) {
      if (mask & (IN_Q_OVERFLOW | WATCH_LOST)) for (const file of this.#files) file.touch();
      else if (mask & CHANGES) {
        const file = this.#byName.get(name);
        if (file !== own) file?.touch();
      }
      if (mask & WATCH_LOST) {
        this.#watch?.close();
        this.#watch = undefined;
      }
    }
    return this.#watch !== undefined;
  }
}
