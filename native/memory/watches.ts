import type { DirectoryChange, Native } from '../interface.ts';
import { MemoryDirectoryWatch } from './directory-watch.ts';

/** What `MemoryNative` watches: folders and addresses. */
export class MemoryWatches {
  private readonly directories = new Map<string, Set<MemoryDirectoryWatch>>();
  private addressGeneration = 0;

  /** A watched folder reports a change. */
  readonly directoryChanged = (path: string, change: DirectoryChange): void => {
    for (const watch of this.directories.get(path) ?? []) watch.push(change);
  };

  /** Links or addresses have changed. */
  readonly addressesChanged = (): void => {
    this.addressGeneration += 1;
  };

  readonly watchDirectory: Native['watchDirectory'] = (path, onReadable) => {
    const watches = this.directories.get(path) ?? new Set();
    this.directories.set(path, watches);
    const watch = new MemoryDirectoryWatch(onReadable, (closed) => watches.delete(closed));
    watches.add(watch);
    return watch;
  };

  readonly watchAddresses: Native['watchAddresses'] = () => {
    let seen = this.addressGeneration;
    return {
      changed: () => {
        const changed = seen !== this.addressGeneration;
        seen = this.addressGeneration;
        return changed;
      },
      close: () => {},
    };
  };
}
