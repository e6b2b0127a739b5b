/** One change in a watched folder. */
export interface DirectoryChange {
  /** File name within the folder; empty for the folder itself. */
  readonly name: string;
  /**
   * inotify mask (IN_*); IN_Q_OVERFLOW (0x4000) means that changes were lost: look at everything.
   */
  readonly mask: number;
}

/**
 * inotify on one folder, asked synchronously (the event loop is not involved unless `onReadable` is
 * given).
 */
export interface DirectoryWatch {
  /**
   * The changes since the last call, oldest first; undefined when there were none. Never blocks.
   */
  drain(): readonly DirectoryChange[] | undefined;
  close(): void;
}

/** rtnetlink notifications about links and addresses, asked synchronously. */
export interface AddressWatch {
  /** True when links or addresses may have changed since the last call. Never blocks. */
  changed(): boolean;
  close(): void;
}

/** What of `Native` watches. */
export interface NativeWatches {
  /**
   * `onReadable` is called on the event loop as long as there are changes to drain; without it the
   * loop is not involved.
   */
  watchDirectory(path: string, onReadable?: () => void): DirectoryWatch;
  watchAddresses(): AddressWatch;
}
