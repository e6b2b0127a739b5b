import type { Argv } from 'yargs';
import type { VssOptions } from '../../daemons/vss/freeze/system.ts';
import { JSON_OBJECT, once } from '../arguments.ts';
import { command, group } from '../command.ts';
import type { Surroundings } from '../surroundings.ts';
import { loadVssOptions, parseDuration } from './options.ts';

/** The options of `vmic vss` as yargs gives them. */
interface VssArguments {
  readonly json: boolean;
  readonly config?: string | undefined;
  readonly set: readonly string[];
}

const vssOptions = (around: Surroundings, { config, set }: VssArguments): Promise<VssOptions> =>
  loadVssOptions(config ?? around.configFile, config !== undefined, set);

const statusCommand = command({
  usage: 'status',
  about: 'Print what was frozen, for how long, and what was left out',
  options: (y: Argv<VssArguments>) =>
    y.epilog('Exit status 1 when vmic-vss neither runs nor is started by requests.'),
  run: async (around, argv) => {
    const { vssStatus } = await import('./status.ts');
    return vssStatus(around, await vssOptions(around, argv), argv.json);
  },
});

const planCommand = command({
  usage: 'plan',
  about: 'Print what a backup would freeze now, and what not, and why',
  options: (y: Argv<VssArguments>) =>
    y.example('$0 vss plan --set vss.include=/', 'what another configuration would come to'),
  run: async (around, argv) => {
    const { showPlan } = await import('./plan.ts');
    return showPlan(around, await vssOptions(around, argv), argv.json);
  },
});

const freezeCommand = command({
  usage: 'freeze',
  about: 'Freeze for some time, and thaw',
  options: (y: Argv<VssArguments>) =>
    y
      .option('for', {
        type: 'string',
        requiresArg: true,
        demandOption: true,
        coerce: (word: string | string[]) => parseDuration(String(once('for')(word))),
        describe: 'how long, e.g. 10s; up to 10m',
      })
      .option('yes', { type: 'boolean', default: false, describe: 'do not ask' })
      .example('$0 vss freeze --for 10s', 'with hooks, as for a backup')
      .epilog(
        'Whatever writes to a frozen file system waits. It is thawed after that time,\n' +
          'by Ctrl-C, and when this command ends in any way. Takes root. Exit status 1:\n' +
          'thawed before its time.',
      ),
  run: async (around, argv) => {
    const { for: forMs, yes, json } = argv;
    const { freezeFor } = await import('./freeze.ts');
    return freezeFor(around, await vssOptions(around, argv), { forMs, yes, json });
  },
});

const thawCommand = command({
  usage: 'thaw',
  about: 'Thaw now what vmic has frozen',
  options: (y: Argv<VssArguments>) =>
    y
      .option('force', {
        type: 'boolean',
        default: false,
        describe: 'also during a backup of the host',
      })
      .option('last-resort', {
        type: 'boolean',
        default: false,
        describe: 'only what a guard that was killed left frozen: for the unit',
      })
      .epilog('Takes root. What others have frozen (fsfreeze) is left alone.'),
  run: async (around, argv) => {
    const { force, json, lastResort } = argv;
    const { thawNow } = await import('./thaw.ts');
    return thawNow(around, await vssOptions(around, argv), { force, lastResort, json });
  },
});

export const vssCommand = group({
  usage: 'vss',
  about: 'Freeze file systems for backups',
  options: (y, around) =>
    y
      .option('json', JSON_OBJECT)
      .option('config', {
        type: 'string',
        requiresArg: true,
        coerce: once('config'),
        defaultDescription: around.configFile,
        describe: "the daemon's configuration",
      })
      .option('set', {
        type: 'string',
        array: true,
        nargs: 1,
        requiresArg: true,
        default: [] as string[],
        defaultDescription: 'none',
        describe: 'override one key of it, e.g. vss.exclude=/scratch',
      }),
  commands: [statusCommand, planCommand, freezeCommand, thawCommand],
});
