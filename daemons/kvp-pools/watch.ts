import fs from 'node:fs';
import { retryWhileLocked } from './retry.ts';
import type { PoolChange, Pools } from './types.ts';

/** A folder that is missing is looked for this often. */
const MISSING_FOLDER_MS = 1000;

export interface PoolWatch {
  close(): void;
}

export interface PoolWatchEvents {
  /** Changes since the last call, in pool and file order. */
  changed(changes: readonly PoolChange[]): void;
  /** A pool can't be read, or changes can't be noticed; the watch goes on and looks again with the next change. */
  failed(error: Error): void;
}

/**
 * Calls back when keys of the pools in `directory` (that of `pools`) are added, changed or removed, by whomever. What is there at the start is
 * no change. Holds the event loop open until closed.
 */
export function watchPools(
  directory: string,
  pools: Pools,
  numbers: readonly number[],
  events: PoolWatchEvents,
): PoolWatch {
  const known = new Map<number, Map<string, string>>();
  let watcher: fs.FSWatcher | undefined;
  let timer: NodeJS.Timeout | undefined;
  let closed = false;
  let looking = false;
  let again = false;

  const look = async (): Promise<void> => {
    if (looking) {
      again = true;
      return;
    }
    looking = true;
    do {
      again = false;
      for (const pool of numbers) {
        try {
          const records = await retryWhileLocked(() => pools.list(pool));
          if (closed) return;
          const now = new Map<string, string>();
          for (const { key, value } of records) if (!now.has(key)) now.set(key, value);
          const before = known.get(pool);
          known.set(pool, now);
          const changes = before ? differences(pool, before, now) : [];
          if (changes.length > 0) events.changed(changes);
        } catch (error) {
          if (!closed) events.failed(error as Error);
        }
      }
    } while (again && !closed);
    looking = false;
  };

  const start = (): void => {
    timer = undefined;
    try {
      watcher = fs.watch(directory, () => {
        // The folder itself went away: its watch is dead
        if (!fs.existsSync(directory)) restart();
        void look();
      });
      watcher.on('error', (error) => {
        events.failed(error);
        restart();
      });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') events.failed(error as Error);
      restart();
    }
    void look();
  };

  const restart = (): void => {
    watcher?.close();
    watcher = undefined;
    if (!closed) timer ??= setTimeout(start, MISSING_FOLDER_MS);
  };

  start();
  return {
    close: () => {
      closed = true;
      watcher?.close();
      clearTimeout(timer);
    },
  };
}

function differences(
  pool: number,
  before: ReadonlyMap<string, string>,
  now: ReadonlyMap<string, string>,
): PoolChange[] {
  const changes: PoolChange[] = [];
  for (const key of before.keys()) if (!now.has(key)) changes.push({ pool, kind: 'removed', key });
  for (const [key, value] of now) {
    const old = before.get(key);
    if (old === undefined) changes.push({ pool, kind: 'added', key, value });
    else if (old !== value) changes.push({ pool, kind: 'changed', key, value });
  }
  return changes;
}
