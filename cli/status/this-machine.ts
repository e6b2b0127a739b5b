import { DEFAULT_POOL_DIRECTORY } from '../../daemons/kvp/pools/index.ts';
import { configuredDirectory } from '../kvp/arguments.ts';
import type { Surroundings } from '../surroundings.ts';
import { type Snapshot, takeSnapshot } from './snapshot.ts';

/** Looks at the machine that the command runs on. */
export async function snapshotThisMachine({
  root,
  run = async () => undefined,
  configFile,
}: Surroundings): Promise<Snapshot> {
  // A configuration with a mistake must not keep anybody from finding the mistake
  const poolDirectory = await configuredDirectory(configFile).catch(() => DEFAULT_POOL_DIRECTORY);
  return takeSnapshot({ poolDirectory, run, ...(root === undefined ? {} : { root }) });
}
