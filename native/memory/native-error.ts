import { constants } from 'node:os';
import type { NativeError } from '../interface.ts';

/** Makes a NativeError as the addon does. */
export function nativeError(code: string, syscall: string, path?: string): NativeError {
  const errno = code === 'ERING' ? 0 : (constants.errno[code as keyof typeof constants.errno] ?? 0);
  const at = path === undefined ? {} : { path };
  return Object.assign(new Error(`${code}: ${syscall}${path === undefined ? '' : ` '${path}'`}`), {
    code,
    errno,
    syscall,
    ...at,
  });
}
