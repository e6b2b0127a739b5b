import { daemon } from '../../daemons/kvp/options.ts';
import { DEFAULT_POOL_DIRECTORY } from '../../daemons/kvp/pools/index.ts';
import { ConfigError, loadConfig } from '../../runtime/config.ts';
import { sectionOptions } from '../../runtime/options.ts';
import { once, plain } from '../arguments.ts';
import { CommandError } from '../exit.ts';
import { parsePool } from './pool-names.ts';
import type { KvpOptions } from './store.ts';

/** The options of `vmic kvp` as yargs gives them. */
export interface PoolArguments {
  readonly json: boolean;
  readonly pool: readonly string[];
  readonly 'pool-directory'?: string | undefined;
}

export const POOL_DIRECTORY = {
  type: 'string',
  requiresArg: true,
  coerce: once('pool-directory'),
  defaultDescription: `kvp.pool_directory of the configuration, or ${DEFAULT_POOL_DIRECTORY}`,
  describe: 'the folder of the pool files',
} as const;

export const KEY = {
  type: 'string',
  demandOption: true,
  coerce: plain,
  describe: 'the key, up to 511 bytes of UTF-8; after -- it may begin with -',
} as const;

/** Longest --timeout: what setTimeout can wait, in whole days. */
const MAX_TIMEOUT_SECS = 24 * 86_400;

export function parseTimeout(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const seconds = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
  if (seconds <= MAX_TIMEOUT_SECS) return seconds;
  throw new CommandError(
    'usage',
    `--timeout ${text}: expected seconds, from 0 to ${MAX_TIMEOUT_SECS}`,
  );
}

/** The options of a command that may look at several pools. */
export const poolOptions = async (
  configFile: string,
  argv: PoolArguments,
): Promise<KvpOptions> => ({
  json: argv.json,
  directory: argv['pool-directory'] ?? (await configuredDirectory(configFile)),
  pools: [...new Set(argv.pool.map(parsePool))],
});

/** The options of a command that writes one pool. */
export async function onePoolOptions(configFile: string, argv: PoolArguments): Promise<KvpOptions> {
  const options = await poolOptions(configFile, argv);
  if (options.pools.length > 1)
    throw new CommandError('usage', 'a key is written to one pool: give --pool once');
  return options;
}

/** Where the daemon keeps the pools. */
export async function configuredDirectory(file: string): Promise<string> {
  const sections = { kvp: sectionOptions(daemon) };
  try {
    return (await loadConfig({ file, required: false, overrides: [] }, sections)).kvp
      .pool_directory;
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new CommandError(
      'usage',
      `${error.message}; mend it, or name the folder by --pool-directory`,
    );
  }
}
