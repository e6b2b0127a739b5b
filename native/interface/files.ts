/** What stat(2) tells, in the slots of a BigInt64Array that is filled in place. */
export const StatSlot = {
  dev: 0,
  ino: 1,
  sizeBytes: 2,
  mtimeNs: 3,
  ctimeNs: 4,
  mode: 5,
  nlink: 6,
  uid: 7,
} as const;
export const STAT_SLOTS = 8;

/** What of `Native` works on open files. */
export interface NativeFiles {
  /**
   * A mark on an open file: all descriptors of one opening share it, in whatever process, and it
   * goes with the last of them. (The flag O_APPEND, which means nothing to devices and sockets.)
   */
  isMarked(fd: number): boolean;
  mark(fd: number): void;

  /**
   * Takes both an open-file-description lock and a flock on a descriptor, without waiting. False
   * when another holds either in a conflicting mode; then neither is held.
   */
  tryLock(fd: number, mode: 'shared' | 'exclusive'): boolean;
  unlock(fd: number): void;
  /**
   * Fills `into` (STAT_SLOTS) with fstat (number) or stat (string) of a file. False: it does not
   * exist.
   */
  stat(file: number | string, into: BigInt64Array): boolean;
  /**
   * Writes all of `bytes` at `position` such that no kill of this process can tear it. A write
   * within one page is atomic against SIGKILL already; a longer one is done by a vfork child that
   * such a kill does not reach, if there can be one. Bytes that the file holds already may be left
   * out, so the caller has to hold the lock; after a kill the lock stays held until the write is
   * done. Returns the bytes written, fewer only when the file system says so (ENOSPC after a part).
   */
  writeWhole(fd: number, bytes: Uint8Array, position: number): number;
  /**
   * Removes `lengthBytes` at `position` of a file of `sizeBytes` by moving what follows forward and
   * cutting the end, also in a vfork child. Throws on failure; then the file may hold a part twice,
   * but has lost nothing.
   */
  removeRange(fd: number, position: number, lengthBytes: number, sizeBytes: number): void;
}

/** What of `Native` works on the entries of folders. */
export interface NativeFolders {
  /**
   * Opens a folder below another one. No name on the way leads out of that: `beneath`, a symbolic
   * link that would is an error (EXDEV); `rooted`, the folder is what "/" means to links. Kernels
   * before 5.6 follow no links at all (ENOTDIR). Descriptors are the caller's to close.
   */
  openFolder(folderFd: number, path: string, links: 'beneath' | 'rooted'): number;
  /**
   * Makes a folder of mode 0700, and opens it. Names are those of one entry, here and below; links
   * of that name are not followed.
   */
  makeFolder(folderFd: number, name: string): number;
  /**
   * A new, empty file of mode 0600; without a name it is one that nobody sees (EOPNOTSUPP where the
   * file system has no such files).
   */
  createFile(folderFd: number, name?: string): number;
  /** Gives a file without a name one. EEXIST. */
  nameFile(fd: number, folderFd: number, name: string): void;
  /** What has the new name is replaced at once; or (not `replace`) EEXIST. */
  renameFile(
    fromFolderFd: number,
    from: string,
    toFolderFd: number,
    to: string,
    replace: boolean,
  ): void;
  removeFile(folderFd: number, name: string): void;
  /** ENOTEMPTY. */
  removeFolder(folderFd: number, name: string): void;
  /** As `stat`, of an entry itself, not of what a link leads to. */
  statEntry(folderFd: number, name: string, into: BigInt64Array): boolean;
  /**
   * Gives a file the owner, mode, access list and security label of an entry; EINVAL when that is
   * no regular file.
   */
  copyOwnership(folderFd: number, name: string, fd: number): void;
}
