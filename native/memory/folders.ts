import { nativeError } from './native-error.ts';

const unsupported = (call: string) => (): never => {
  throw nativeError('ENOTSUP', call);
};

/** There are no folders in memory, and node:fs can't go by their descriptors. */
export const FOLDERS = {
  openFolder: unsupported('openat2'),
  makeFolder: unsupported('mkdirat'),
  createFile: unsupported('openat'),
  nameFile: unsupported('linkat'),
  renameFile: unsupported('renameat2'),
  removeFile: unsupported('unlinkat'),
  removeFolder: unsupported('unlinkat'),
  statEntry: unsupported('fstatat'),
  copyOwnership: unsupported('fchown'),
};
