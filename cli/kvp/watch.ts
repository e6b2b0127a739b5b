import fs from 'node:fs';
import { PoolError, type PoolRecord, type PoolStore } from '../../daemons/kvp/pools/index.ts';
import { poolName } from '../../protocol/kvp/pool-names.ts';
import { printable } from '../../runtime/text.ts';
import { CommandError, EXIT } from '../exit.ts';
import {
  json,
  type KvpOptions,
  type KvpSurroundings,
  nameWidth,
  openStore,
  selected,
} from './store.ts';

/** A folder that is not there yet (early boot) is looked for this often. */
const DIRECTORY_POLL_MS = 250;
/**
 * A pool that another program has locked is looked at again this often: no event tells of an
 * unlock.
 */
const LOCK_POLL_MS = 20;

export interface WatchOptions extends KvpOptions {
  /** Only changes of these keys; empty: of all. */
  readonly keys: readonly string[];
  /** Ends the watch: "KEY", or "KEY=VALUE". */
  readonly until: string | undefined;
  readonly timeoutSecs: number | undefined;
}

export interface Change {
  /** present: what a condition was met by at the very start. */
  readonly change: 'added' | 'changed' | 'removed' | 'present';
  readonly key: string;
  readonly value?: string;
  readonly previous?: string;
}

/** The first record of each key counts, as everywhere. */
function byKey(records: readonly PoolRecord[]): Map<string, string> {
  const values = new Map<string, string>();
  for (const { key, value } of records) if (!values.has(key)) values.set(key, value);
  return values;
}

/** The pool's keys and values; undefined while another program has it locked. */
function readPool(store: PoolStore, pool: number): ReadonlyMap<string, string> | undefined {
  try {
    return byKey(store.list(pool));
  } catch (error) {
    if (error instanceof PoolError && error.code === 'locked') return undefined;
    throw error;
  }
}

/** What differs between two looks at a pool: removals first, then the rest in file order. */
export function differences(
  before: ReadonlyMap<string, string>,
  after: ReadonlyMap<string, string>,
): Change[] {
  const changes: Change[] = [];
  for (const [key, previous] of before)
    if (!after.has(key)) changes.push({ change: 'removed', key, previous });
  for (const [key, value] of after) {
    const previous = before.get(key);
    if (previous === undefined) changes.push({ change: 'added', key, value });
    else if (previous !== value) changes.push({ change: 'changed', key, value, previous });
  }
  return changes;
}

/** A key may contain "=", so the condition is compared whole. */
const meets = (until: string | undefined, { key, value }: Change): boolean =>
  value !== undefined && (until === key || until === `${key}=${value}`);

function describe(change: Change): string {
  const key = printable(change.key);
  const value = printable(change.value ?? '');
  const previous = printable(change.previous ?? '');
  switch (change.change) {
    case 'removed':
      return `removed  ${key} = ${previous}`;
    case 'changed':
      return `changed  ${key} = ${value}  (was ${previous})`;
    default:
      return `${change.change.padEnd(7)}  ${key} = ${value}`;
  }
}

/** Rings for whatever may mean that there is something new to see; one waits for it. */
class Bell {
  #rung = false;
  #wake = (): void => {};

  ring(): void {
    this.#rung = true;
    this.#wake();
  }

  /** Resolves when it has rung since the last call, or when the time is over. */
  async heardWithin(limitMs: number | undefined): Promise<void> {
    if (!this.#rung) {
      const timer = limitMs === undefined ? undefined : setTimeout(() => this.ring(), limitMs);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      clearTimeout(timer);
    }
    this.#rung = false;
  }
}

/** The watched pools as they were at the last look. */
class Watch {
  readonly #around: KvpSurroundings;
  readonly #options: WatchOptions;
  readonly #pools: readonly number[];
  readonly #nameWidth: number;
  readonly #known = new Map<number, ReadonlyMap<string, string>>();

  constructor(around: KvpSurroundings, options: WatchOptions) {
    this.#around = around;
    this.#options = options;
    this.#pools = selected(options);
    this.#nameWidth = nameWidth(this.#pools);
  }

  /** Reports what changed since the last look; without a store there are no records. */
  look(store: PoolStore | undefined): 'met' | 'locked' | 'seen' {
    let locked = false;
    for (const pool of this.#pools) {
      const after = store === undefined ? new Map<string, string>() : readPool(store, pool);
      if (after === undefined) locked = true;
      else if (this.#compare(pool, after)) return 'met';
    }
    return locked ? 'locked' : 'seen';
  }

  /**
   * True when the condition is met. What is there at the first look is no change, but may meet the
   * condition.
   */
  #compare(pool: number, after: ReadonlyMap<string, string>): boolean {
    const before = this.#known.get(pool);
    this.#known.set(pool, after);
    const changes: Change[] =
      before === undefined
        ? [...after].map(([key, value]) => ({ change: 'present', key, value }))
        : differences(before, after);
    for (const change of changes) {
      const met = meets(this.#options.until, change);
      if (met || (before !== undefined && this.#isWanted(change))) this.#report(pool, change);
      if (met) return true;
    }
    return false;
  }

  #isWanted({ key }: Change): boolean {
    return this.#options.keys.length === 0 || this.#options.keys.includes(key);
  }

  #report(pool: number, change: Change): void {
    const time = new Date();
    this.#around.out(
      this.#options.json
        ? json({ time: time.toISOString(), pool: poolName(pool), ...change })
        : `${time.toTimeString().slice(0, 8)}  ${poolName(pool).padEnd(this.#nameWidth)}  ` +
            `${describe(change)}\n`,
    );
  }
}

/**
 * Prints changes as they happen, until a condition is met, the time is over, or somebody ends the
 * program.
 */
export async function watch(around: KvpSurroundings, options: WatchOptions): Promise<number> {
  const { directory, until, timeoutSecs } = options;
  const bell = new Bell();
  let expired = false;
  const expire = (): void => {
    expired = true;
    bell.ring();
  };
  const timer = timeoutSecs === undefined ? undefined : setTimeout(expire, timeoutSecs * 1000);
  const pools = new Watch(around, options);
  let waiting = false;
  try {
    while (!expired) {
      const folder = openFolder(directory, bell);
      if (folder === undefined) {
        if (!waiting) around.err(`vmic: ${directory} does not exist; waiting for it\n`);
        waiting = true;
        pools.look(undefined);
        await bell.heardWithin(DIRECTORY_POLL_MS);
        continue;
      }
      waiting = false;
      const { store } = openStore(around, options, 'read');
      try {
        do {
          const result = pools.look(store);
          if (result === 'met') return EXIT.ok;
          await bell.heardWithin(result === 'locked' ? LOCK_POLL_MS : undefined);
        } while (!expired && folder.isCurrent());
      } finally {
        store.close();
        folder.close();
      }
    }
  } finally {
    clearTimeout(timer);
  }
  if (until === undefined) return EXIT.ok;
  throw new CommandError('notFound', `"${printable(until)}" was not met within ${timeoutSecs} s`);
}

interface WatchedFolder {
  /**
   * False when another folder, or none, is at its path now. Throws when it can't be watched any
   * more.
   */
  isCurrent(): boolean;
  close(): void;
}

/** Rings the bell for each change in a folder from now on; undefined when there is none. */
function openFolder(directory: string, bell: Bell): WatchedFolder | undefined {
  const inode = (): bigint | undefined =>
    fs.statSync(directory, { bigint: true, throwIfNoEntry: false })?.ino;
  const refuse = ({ code, message }: NodeJS.ErrnoException): never => {
    throw new CommandError(
      code === 'EACCES' ? 'permission' : 'system',
      `can't watch ${directory}: ${message}`,
    );
  };
  let failure: NodeJS.ErrnoException | undefined;
  // Taken before the watch begins: were the folder replaced in between, the first change would show
  // it
  const watched = inode();
  let watcher: fs.FSWatcher;
  try {
    watcher = fs.watch(directory, () => bell.ring());
  } catch (error) {
    const failed = error as NodeJS.ErrnoException;
    return failed.code === 'ENOENT' ? undefined : refuse(failed);
  }
  watcher.on('error', (error) => {
    failure = error;
    bell.ring();
  });
  return {
    isCurrent: () => (failure === undefined ? inode() === watched : refuse(failure)),
    close: () => watcher.close(),
  };
}
