import type { NativeError } from '../../../native/interface.ts';
import { DENIED, type LockMode } from './locked-file.ts';
import { PoolError } from './types.ts';

const FULL: ReadonlySet<string> = new Set<NativeError['code']>(['ENOSPC', 'EDQUOT', 'EFBIG']);

/**
 * Turns what the system answered while a pool file was locked in `mode` into a PoolError. Throws
 * what is not an error of the system, because programming errors are not the file's.
 */
export function poolErrorOf(error: unknown, path: string, mode: LockMode): PoolError {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === undefined || !/^E[A-Z0-9]+$/.test(code)) throw error;
  if (FULL.has(code))
    return new PoolError('diskFull', path, `${path}: no space left (${code})`, error);
  if (DENIED.has(code) && mode === 'exclusive')
    return new PoolError('readOnly', path, `${path} can't be written (${code})`, error);
  return new PoolError('io', path, `${path}: ${message}`, error);
}
