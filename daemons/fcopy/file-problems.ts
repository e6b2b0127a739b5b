import fs from 'node:fs';
import { type NativeError, StatSlot } from '../../native/interface.ts';
import { FileProblem } from './ports.ts';

/** Throws a FileProblem when what is there may not be replaced. */
export function checkReplaceable(stat: BigInt64Array, overwrite: boolean): void {
  if (!overwrite)
    throw new FileProblem(
      'exists',
      'there is something of that name, and it is not to be replaced',
    );
  if ((Number(stat[StatSlot.mode]) & fs.constants.S_IFMT) !== fs.constants.S_IFREG) {
    throw new FileProblem('refused', 'what has that name is no file (a folder, a link, a device)');
  }
}

/** Returns a FileProblem for an error of the system, and any other error as it is. */
export function problemOf(error: unknown): unknown {
  if (error instanceof FileProblem) return error;
  const { code, message, syscall } = error as NativeError;
  if (syscall === undefined) return error;
  switch (code) {
    case 'EEXIST':
      return new FileProblem('exists', 'something of that name appeared meanwhile', error);
    case 'ENOSPC':
    case 'EDQUOT':
      return new FileProblem('diskFull', message, error);
    case 'EXDEV':
      // Of a name it would mean that another file system was mounted there meanwhile
      if (syscall !== 'openat2' && syscall !== 'openat') break;
      return new FileProblem(
        'refused',
        'a symbolic link leads out of the folder it may be in',
        error,
      );
    case 'ELOOP':
    case 'ENOTDIR':
      return new FileProblem('refused', `something on the way is no folder: ${message}`, error);
  }
  return new FileProblem('failed', message, error);
}
