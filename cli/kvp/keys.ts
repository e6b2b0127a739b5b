import { isUtf8 } from 'node:buffer';
import { poolName } from '../../protocol/kvp/pool-names.ts';
import { KvpPool } from '../../protocol/kvp/types.ts';
import { printable } from '../../runtime/text.ts';
import { CommandError, EXIT } from '../exit.ts';
import {
  json,
  type KvpOptions,
  type KvpSurroundings,
  nameWidth,
  type OpenedStore,
  requireDirectory,
  selected,
  withStore,
} from './store.ts';

/**
 * hv_utils passes no more to a host (drivers/hv/hv_kvp.c: the UTF-16 fields hold a NUL too, and so
 * do ours).
 */
const HOST_KEY_UNITS = 254;
const HOST_VALUE_UNITS = 1022;

/** Prints the value of a key, looked for in all pools unless some are named. */
export async function get(
  around: KvpSurroundings,
  options: KvpOptions,
  key: string,
): Promise<number> {
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
  around: KvpSurroundings,
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
  around: KvpSurroundings,
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

export async function list(around: KvpSurroundings, options: KvpOptions): Promise<number> {
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
export async function listKeys(around: KvpSurroundings, options: KvpOptions): Promise<string[]> {
  try {
    return await withStore({ ...around, err: () => {} }, options, 'read', async (opened) =>
      (await readAll(opened, selected(options))).map(({ key }) => key),
    );
  } catch {
    return [];
  }
}
