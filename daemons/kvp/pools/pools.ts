import { PoolFiles } from './pool-files.ts';
import { checkValue, rawKey } from './record.ts';
import type { PoolRecord, PoolStoreOptions, Pools } from './types.ts';

export const DEFAULT_POOL_DIRECTORY = '/var/lib/hyperv';

/** The pool files of one folder. */
export class PoolStore implements Pools {
  readonly directory: string;
  readonly #files: PoolFiles;

  private constructor(directory: string, options: PoolStoreOptions) {
    this.directory = directory;
    this.#files = new PoolFiles(directory, options);
  }

  /**
   * Opens the pools of a folder, making what is missing (folder 0755, files 0644) unless
   * `readOnly`. A file that can't be opened is logged, and tried again with each operation on it.
   */
  static open(directory: string, options: PoolStoreOptions): PoolStore {
    const store = new PoolStore(directory, options);
    store.#files.open();
    return store;
  }

  get(pool: number, key: string): string | undefined {
    const raw = rawKey(key);
    const file = this.#files.of(pool);
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
    const file = this.#files.of(pool);
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
    const file = this.#files.of(pool);
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
    const file = this.#files.of(pool);
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
    const file = this.#files.of(pool);
    try {
      return file.begin('shared') ? file.content.list() : [];
    } catch (error) {
      throw file.failure(error);
    } finally {
      file.end();
    }
  }

  count(pool: number): number {
    const file = this.#files.of(pool);
    try {
      return file.begin('shared') ? file.content.count : 0;
    } catch (error) {
      throw file.failure(error);
    } finally {
      file.end();
    }
  }

  close(): void {
    this.#files.close();
  }
}
