/** The KVP pool files, for the daemon and the command alike. */
export { poolFileName } from './pool-files.ts';
export { DEFAULT_POOL_DIRECTORY, PoolStore } from './pools.ts';
export { RECORD_BYTES } from './record.ts';
export { LOCK_PATIENCE_MS, type Patience, retryWhileLocked } from './retry.ts';
export {
  PoolError,
  type PoolErrorCode,
  type PoolLog,
  type PoolNative,
  type PoolRecord,
  type PoolStoreOptions,
  type Pools,
} from './types.ts';
