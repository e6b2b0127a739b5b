import { fstatSync, statSync } from 'node:fs';
import type { Native } from '../interface.ts';

export type LockMode = 'shared' | 'exclusive';

/** The locks of `MemoryNative` on files, which no other process sees. */
export class MemoryLocks {
  private readonly locks = new Map<string, Map<object | number, LockMode>>();

  /** Another process locks the file; the returned function unlocks it. */
  readonly byOther = (path: string, mode: LockMode): (() => void) => {
    const { dev, ino } = statSync(path);
    const holders = this.holders(dev, ino);
    const other = {};
    holders.set(other, mode);
    return () => holders.delete(other);
  };

  /** The lock this process holds on the file behind `fd`. */
  readonly of = (fd: number): LockMode | undefined => {
    const { dev, ino } = fstatSync(fd);
    return this.holders(dev, ino).get(fd);
  };

  readonly tryLock: Native['tryLock'] = (fd, mode) => {
    const { dev, ino } = fstatSync(fd);
    const holders = this.holders(dev, ino);
    holders.delete(fd);
    for (const held of holders.values()) {
      if (mode === 'exclusive' || held === 'exclusive') return false;
    }
    holders.set(fd, mode);
    return true;
  };

  readonly unlock: Native['unlock'] = (fd) => {
    const { dev, ino } = fstatSync(fd);
    this.holders(dev, ino).delete(fd);
  };

  private holders(dev: number, ino: number): Map<object | number, LockMode> {
    const key = `${dev}:${ino}`;
    const holders = this.locks.get(key) ?? new Map<object | number, LockMode>();
    this.locks.set(key, holders);
    return holders;
  }
}
