import { isUtf8 } from 'node:buffer';
import fs from 'node:fs';
import {
  type Patience,
  type PoolLog,
  PoolStore,
  retryWhileLocked,
} from '../../daemons/kvp/pools/index.ts';
import type { Native } from '../../native/interface.ts';
import { poolName } from '../../protocol/kvp/pool-names.ts';
import { KvpPool } from '../../protocol/kvp/types.ts';
import { printable } from '../../runtime/text.ts';
import { CommandError, EXIT } from '../exit.ts';
import { ALL_POOLS } from './pool-names.ts';

/** What a command needs of the process around it. */
export interface Surroundings {
  readonly native: Native;
  out(text: string): void;
  err(text: string): void;
  /** Output goes to a terminal, which hostile text must not control. */
  readonly outIsTerminal: boolean;
  readInput(): Promise<Buffer>;
  /** How long another program's lock is waited for; by default as long as the daemon does. */
  readonly patience?: Patience;
}

export interface KvpOptions {
  readonly json: boolean;
  readonly directory: string;
  /** Pools named on the command line, by number. */
  readonly pools: readonly number[];
}

/**
 * hv_utils passes no more to a host (drivers/hv/hv_kvp.c: the UTF-16 fields hold a NUL too, and so
 * do ours).
 */
const HOST_KEY_UNITS = 254;
const HOST_VALUE_UNITS = 1022;

interface OpenedStore {
  readonly store: PoolStore;
  /** One operation, tried again for a while when another program holds the lock. */
  attempt<T>(operation: (store: PoolStore) => T): T | Promise<T>;
  /** A warning about the content of a pool file was given. */
  readonly damaged: boolean;
}

/**
 * A pool store for one command: what it reports goes to standard error, and damage is remembered.
 */
export function openStore(
  around: Surroundings,
  options: KvpOptions,
  access: 'read' | 'write',
): OpenedStore {
  let damaged = false;
  const log: PoolLog = {
    warning: (message, fields) => {
      const path = String(fields?.['path'] ?? '');
      // A warning about the folder is about watching it, not about what it holds
      if (path !== options.directory) damaged = true;
      around.err(`vmic: warning: ${printable(`${path}: ${message}`)}\n`);
    },
    // Opening reports each file that can't be opened, also those we were not asked about; the
    // operation itself fails
    error: () => {},
  };
  const store = PoolStore.open(options.directory, {
    native: around.native,
    log,
    readOnly: access === 'read',
  });
  return {
    store,
    attempt: (operation) => retryWhileLocked(() => operation(store), around.patience),
    get damaged() {
      return damaged;
    },
  };
}

async function withStore<T>(
  around: Surroundings,
  options: KvpOptions,
  access: 'read' | 'write',
  work: (opened: OpenedStore) => Promise<T>,
): Promise<T> {
  const opened = openStore(around, options, access);
  try {
    return await work(opened);
  } finally {
    opened.store.close();
  }
}

function requireDirectory(directory: string): void {
  if (!fs.existsSync(directory)) {
    throw new CommandError(
      'notFound',
      `${directory} does not exist: no KVP daemon has run on this machine yet`,
    );
  }
}

/** The pools a command looks at: all, unless some are named. */
export const selected = ({ pools }: KvpOptions): readonly number[] =>
  pools.length > 0 ? pools : ALL_POOLS;

export const nameWidth = (pools: readonly number[]): number =>
  Math.max(...pools.map((pool) => poolName(pool).length));

export const json = (value: unknown): string => `${JSON.stringify(value)}\n`;

/** Prints the value of a key, looked for in all pools unless some are named. */
export async function get(around: Surroundings, options: KvpOptions, key: string): Promise<number> {
  requireDirectory(options.directory);
  return withStore(around, options, 'read', async (opened) => {
    const found: { pool: number; value: string }[] = [];
    for (const pool of selected(options)) {
      const value = await opened.attempt((store) => store.get(pool, key));
      if (value !== undefined) found.push({ pool, value });
    }
    const [first, ...others] = found;
    if (first === undefined) {
      const where =
        options.pools.length > 0 ? `pool ${options.pools.map(poolName).join(', ')}` : 'any pool';
      throw new CommandError(
        opened.damaged ? 'damaged' : 'notFound',
        `there is no key "${printable(key)}" in ${where}`,
      );
    }
    if (others.length > 0) {
      const names = found.map(({ pool }) => poolName(pool)).join(', ');
      throw new CommandError(
        'usage',
        `"${printable(key)}" is in the pools ${names}: choose one with --pool`,
      );
    }
    const { pool, value } = first;
    if (options.json) around.out(json({ pool: poolName(pool), key, value }));
    else around.out(`${around.outIsTerminal ? printable(value) : value}\n`);
    return EXIT.ok;
  });
}

/** Pools hold text: other bytes would be replaced without a word. */
function inputText(bytes: Buffer): string {
  if (!isUtf8(bytes)) throw new CommandError('usage', 'standard input is not valid UTF-8');
  return bytes.toString();
}

/** Writes a key; says what changed only in JSON. */
export async function set(
  around: Surroundings,
  options: KvpOptions,
  key: string,
  given: string | undefined,
): Promise<number> {
  const pool = options.pools[0] ?? KvpPool.guest;
  if (pool === KvpPool.auto) {
    throw new CommandError(
      'usage',
      'vmic-kvp computes pool auto itself; what a guest tells the host belongs into pool guest',
    );
  }
  // One line end is what echo and editors add, not part of the value
  const value = given ?? inputText(await around.readInput()).replace(/\r?\n$/, '');
  return withStore(around, options, 'write', async (opened) => {
    const before = await opened.attempt((store) => store.get(pool, key));
    await opened.attempt((store) => store.set(pool, key, value));
    for (const [what, text, limit] of [
      ['key', key, HOST_KEY_UNITS],
      ['value', value, HOST_VALUE_UNITS],
    ] as const) {
      if (text.length > limit) {
        around.err(
          `vmic: warning: the ${what} has ${text.length} UTF-16 units; a host sees the first ` +
            `${limit}\n`,
        );
      }
    }
    if (options.json) {
      const change = before === undefined ? 'added' : before === value ? 'unchanged' : 'changed';
      around.out(json({ pool: poolName(pool), change, key, value, previous: before }));
    }
    return EXIT.ok;
  });
}

export async function remove(
  around: Surroundings,
  options: KvpOptions,
  key: string,
): Promise<number> {
  requireDirectory(options.directory);
  const pool = options.pools[0] ?? KvpPool.guest;
  return withStore(around, options, 'write', async (opened) => {
    const previous = await opened.attempt((store) => store.get(pool, key));
    if (previous === undefined || !(await opened.attempt((store) => store.delete(pool, key)))) {
      const why = `there is no key "${printable(key)}" in pool ${poolName(pool)}`;
      throw new CommandError(opened.damaged ? 'damaged' : 'notFound', why);
    }
    if (options.json) around.out(json({ pool: poolName(pool), change: 'removed', key, previous }));
    return EXIT.ok;
  });
}

interface PoolEntry {
  readonly pool: number;
  readonly key: string;
  readonly value: string;
}

async function readAll(opened: OpenedStore, pools: readonly number[]): Promise<PoolEntry[]> {
  const entries: PoolEntry[] = [];
  for (const pool of pools) {
    for (const record of await opened.attempt((store) => store.list(pool)))
      entries.push({ pool, ...record });
  }
  return entries;
}

export async function list(around: Surroundings, options: KvpOptions): Promise<number> {
  requireDirectory(options.directory);
  const pools = selected(options);
  return withStore(around, options, 'read', async (opened) => {
    const entries = await readAll(opened, pools);
    if (options.json) {
      around.out(
        json(entries.map(({ pool, key, value }) => ({ pool: poolName(pool), key, value }))),
      );
    } else {
      const width = nameWidth(pools);
      for (const { pool, key, value } of entries) {
        const prefix = pools.length > 1 ? `${poolName(pool).padEnd(width)}  ` : '';
        around.out(`${prefix}${printable(key)} = ${printable(value)}\n`);
      }
    }
    return opened.damaged ? EXIT.damaged : EXIT.ok;
  });
}

/** The keys there are, for completion: without a word when they can't be read. */
export async function listKeys(around: Surroundings, options: KvpOptions): Promise<string[]> {
  try {
    return await withStore({ ...around, err: () => {} }, options, 'read', async (opened) =>
      (await readAll(opened, selected(options))).map(({ key }) => key),
    );
  } catch {
    return [];
  }
}
