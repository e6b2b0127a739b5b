import type { DirectoryWatch } from '../../../native/interface.ts';
import type { PoolLog, PoolNative } from './types.ts';

/**
 * inotify(7) masks: those that mean other contents, and those that mean the watch has lost its
 * folder.
 */
const IN_MODIFY = 0x2;
const IN_MOVED_FROM = 0x40;
const IN_MOVED_TO = 0x80;
const IN_CREATE = 0x100;
const IN_DELETE = 0x200;
const IN_DELETE_SELF = 0x400;
const IN_MOVE_SELF = 0x800;
const IN_UNMOUNT = 0x2000;
const IN_Q_OVERFLOW = 0x4000;
const IN_IGNORED = 0x8000;
const CHANGES = IN_MODIFY | IN_MOVED_FROM | IN_MOVED_TO | IN_CREATE | IN_DELETE;
const WATCH_LOST = IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT | IN_IGNORED;

/**
 * - idle: the folder is not watched yet, or the watch has lost it.
 * - failed: the folder can't be watched. A change still shows in a file's times and size, which
 *   tell nearly as much.
 */
type WatchState =
  | { readonly name: 'idle' }
  | { readonly name: 'watching'; readonly watch: DirectoryWatch }
  | { readonly name: 'failed' };

const IDLE: WatchState = { name: 'idle' };
const FAILED: WatchState = { name: 'failed' };

/** A file in the folder, which is told that another program may have changed it. */
export interface WatchedFile {
  touch(): void;
}

/** Hears by inotify which files of a folder other programs change. */
export class FolderWatch {
  readonly #directory: string;
  readonly #native: PoolNative;
  readonly #log: PoolLog;
  #state: WatchState = IDLE;

  constructor(directory: string, native: PoolNative, log: PoolLog) {
    this.#directory = directory;
    this.#native = native;
    this.#log = log;
  }

  /** Watches the folder from now on, unless that is done already or has failed before. */
  start(): void {
    if (this.#state.name !== 'idle') return;
    try {
      this.#state = { name: 'watching', watch: this.#native.watchDirectory(this.#directory) };
    } catch (error) {
      this.#state = FAILED;
      this.#log.warning(
        "Can't watch the pools; changes by other programs are taken from the files' times",
        {
          path: this.#directory,
          error,
        },
      );
    }
  }

  /**
   * Touches the files that were changed since the last call, except `own`. `files` has each under
   * its name in the folder. Returns false if the folder is not watched, so that nothing may be
   * concluded.
   */
  drain(files: ReadonlyMap<string, WatchedFile>, own: WatchedFile | undefined): boolean {
    if (this.#state.name !== 'watching') return false;
    const changes = this.#state.watch.drain();
    if (!changes) return true;
    let isLost = false;
    for (const { name, mask } of changes) {
      if (mask & (IN_Q_OVERFLOW | WATCH_LOST)) for (const file of files.values()) file.touch();
      else if (mask & CHANGES) {
        const file = files.get(name);
        if (file !== own) file?.touch();
      }
      if (mask & WATCH_LOST) isLost = true;
    }
    if (isLost) this.close();
    return !isLost;
  }

  close(): void {
    if (this.#state.name !== 'watching') return;
    this.#state.watch.close();
    this.#state = IDLE;
  }
}
