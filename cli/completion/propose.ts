import { configuredDirectory } from '../kvp/arguments.ts';
import { listKeys } from '../kvp/keys.ts';
import { parsePool } from '../kvp/pool-names.ts';
import type { Surroundings } from '../surroundings.ts';
import { safeWords } from './script.ts';

const TAKE_KEYS = ['get', 'set', 'delete', 'watch'];

/** The keys that are in the pools, if a key may come next. `argv` is the command line so far. */
export async function proposeKeys(
  argv: Record<string, unknown>,
  around: Surroundings,
): Promise<string[]> {
  const [, section, command] = argv['_'] as string[];
  if (section !== 'kvp' || !TAKE_KEYS.includes(command ?? '')) return [];
  const named = argv['pool-directory'];
  const directory =
    named === undefined ? await configuredDirectory(around.configFile) : String(named);
  const pools = [argv['pool'] ?? []].flat().map((pool) => parsePool(String(pool)));
  const loaded = { ...around, native: await around.loadNative() };
  return safeWords(await listKeys(loaded, { json: false, directory, pools }));
}
