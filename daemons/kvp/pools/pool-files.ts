import path from 'node:path';
import { KVP_POOL_COUNT } from '../../../protocol/kvp/types.ts';
import { FolderWatch } from './folder-watch.ts';
import { PoolFile, type PoolFileContext } from './pool-file.ts';
import { PoolError, type PoolLog, type PoolNative, type PoolStoreOptions } from './types.ts';

export const poolFileName = (pool: number): string => `.kvp_pool_${pool}`;

/** The pool files of one folder, and the watch that tells them of changes. */
export class PoolFiles implements PoolFileContext {
  readonly native: PoolNative;
  readonly log: PoolLog;
  readonly readOnly: boolean;
  readonly #files: readonly PoolFile[];
  readonly #byName: ReadonlyMap<string, PoolFile>;
  readonly #watch: FolderWatch;

  constructor(directory: string, { native, log, readOnly = false }: PoolStoreOptions) {
    this.native = native;
    this.log = log;
    this.readOnly = readOnly;
    this.#watch = new FolderWatch(directory, native, log);
    this.#files = Array.from(
      { length: KVP_POOL_COUNT },
      (_, pool) => new PoolFile(path.join(directory, poolFileName(pool)), this),
    );
    this.#byName = new Map(this.#files.map((file, pool) => [poolFileName(pool), file]));
  }

  /** Opens all files, unless they are only read. Logs those that can't be opened. */
  open(): void {
    if (this.readOnly) return;
    for (const file of this.#files) {
      try {
        file.open();
      } catch (error) {
        this.log.error("Can't open a pool file", { path: file.path, error: file.failure(error) });
      }
    }
  }

  /** Throws if there is no such pool. */
  of(pool: number): PoolFile {
    const file = this.#files[pool];
    if (!file)
      throw new PoolError(
        'invalid',
        '',
        `there is no pool ${pool}; pools are 0 to ${KVP_POOL_COUNT - 1}`,
      );
    return file;
  }

  drainChanges(own?: PoolFile): boolean {
    return this.#watch.drain(this.#byName, own);
  }

  directoryReady(): void {
    this.#watch.start();
  }

  close(): void {
    for (const file of this.#files) file.close();
    this.#watch.close();
  }
}
