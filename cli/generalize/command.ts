import { JSON_OBJECT } from '../arguments.ts';
import { command } from '../command.ts';
import { configuredDirectory, POOL_DIRECTORY } from '../kvp/arguments.ts';

export const generalizeCommand = command({
  usage: 'generalize',
  about: 'Empty the pools, so that an image can be made of this machine',
  options: (y) =>
    y
      .option('dry-run', {
        type: 'boolean',
        default: false,
        describe: 'only print what would be emptied',
      })
      .option('yes', { type: 'boolean', alias: 'y', default: false, describe: 'do not ask' })
      .option('json', JSON_OBJECT)
      .option('pool-directory', POOL_DIRECTORY)
      .epilog(
        'Files, owners and modes stay. Takes root. cloud-init clean runs it, too.\nExit ' +
          'status 1 when the answer was no.',
      ),
  run: async (around, { dryRun, yes, json, poolDirectory }) => {
    const directory = poolDirectory ?? (await configuredDirectory(around.configFile));
    const native = await around.loadNative();
    const { runs } = await import('../status/daemon-state.ts');
    const { generalize } = await import('./generalize.ts');
    const options = { directory, dryRun, yes, json, daemonRuns: runs(around, 'kvp') };
    return generalize({ ...around, native }, options);
  },
});
