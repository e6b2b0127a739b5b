import type { Native } from '../../../native/interface.ts';
import type { Log } from '../../../runtime/log.ts';

/** What of the native contract the store works with. */
export type PoolNative = Pick<
  Native,
  'tryLock' | 'unlock' | 'stat' | 'writeWhole' | 'removeRange' | 'watchDirectory'
>;

/**
 * Where the store reports damage and trouble. Others' programs can cause every line, so pass a
 * limited log.
 */
export type PoolLog = Pick<Log, 'warning' | 'error'>;

export interface PoolStoreOptions {
  readonly native: PoolNative;
  readonly log: PoolLog;
  /** Needs no right to write and makes nothing: a missing file or folder is an empty pool. */
  readonly readOnly?: boolean;
}

/** One record, its text decoded: bytes that are no UTF-8 show as U+FFFD. */
export interface PoolRecord {
  readonly key: string;
  readonly value: string;
}

/**
 * - locked: another program holds the file's lock right now; try again (`retryWhileLocked`).
 * - invalid: pool, key or value outside what a record can hold; nothing was read or written.
 * - diskFull: no space for the change; the file is as it was.
 * - readOnly: the file or its file system can't be written.
 * - io: anything else the system answered; `cause` is the system's error.
 */
export type PoolErrorCode = 'locked' | 'invalid' | 'diskFull' | 'readOnly' | 'io';

export class PoolError extends Error {
  override readonly name = 'PoolError';
  readonly code: PoolErrorCode;
  /** The pool file, or the folder; empty for `invalid`. */
  readonly path: string;

  constructor(code: PoolErrorCode, path: string, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.path = path;
  }
}

/**
 * The operations, all synchronous. Each locks its pool file, looks for changes by others, works,
 * and unlocks; each may throw a PoolError. `pool` is 0 to 4; keys are 1 to 511 bytes of UTF-8,
 * values 0 to 2,047, both without NUL.
 */
export interface Pools {
  /** The value of the first record with this key; undefined when there is none. */
  get(pool: number, key: string): string | undefined;
  /** Writes the value in place, or appends a record. Every record of that key gets the value. */
  set(pool: number, key: string, value: string): void;
  /**
   * Removes every record of that key, keeping the order of the others. False when there was none.
   */
  delete(pool: number, key: string): boolean;
  /**
   * The record at `index` in file order; undefined past the end. A record without a key has key ''.
   */
  at(pool: number, index: number): PoolRecord | undefined;
  /** All records in file order, as they are at one moment; those without a key are left out. */
  list(pool: number): PoolRecord[];
  /** Records in the file, those without a key counted. */
  count(pool: number): number;
  close(): void;
}
