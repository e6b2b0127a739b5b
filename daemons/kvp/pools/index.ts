/** The KVP pool files, for the daemon and the command alike. */
export { DEFAULT_POOL_DIRECTORY, PoolStore, type PoolStoreOptions, poolFileName } from './pools.ts';
export { RECORD_BYTES } from './record.ts';
export { LOCK_PATIENCE_MS, type Patience, retryWhileLocked } from './retry.ts';
export {
  PoolError,
  type PoolErrorCode,
  type PoolLog,
  type PoolNative,
  type PoolRecord,
  type Pools,
} from './types.ts';
