import fs from 'node:fs';
import { type PoolLog, PoolStore, retryWhileLocked } from '../../daemons/kvp/pools/index.ts';
import type { Native } from '../../native/interface.ts';
import { poolName } from '../../protocol/kvp/pool-names.ts';
import { printable } from '../../runtime/text.ts';
import { CommandError } from '../exit.ts';
import type { Surroundings } from '../surroundings.ts';
import { ALL_POOLS } from './pool-names.ts';

/** What a command about keys needs of the process around it. */
export type KvpSurroundings = Pick<
  Surroundings,
  'out' | 'err' | 'outIsTerminal' | 'readInput' | 'patience'
> & { readonly native: Native };

export interface KvpOptions {
  readonly json: boolean;
  readonly directory: string;
  /** Pools named on the command line, by number. */
  readonly pools: readonly number[];
}

export interface OpenedStore {
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
  around: KvpSurroundings,
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

export async function withStore<T>(
  around: KvpSurroundings,
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

export function requireDirectory(directory: string): void {
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
