import yargs, { type Argv, type FallbackCompletionFunction } from 'yargs';
import { DEFAULT_STATUS_FILE as FCOPY_STATUS_FILE } from '../daemons/fcopy/status.ts';
import { DEFAULT_POOL_DIRECTORY, kvpOptions } from '../daemons/kvp/pools/index.ts';
import { DEFAULT_STATUS_FILE } from '../daemons/timesync/status.ts';
import { SERVICE_NAMES, type ServiceName } from '../protocol/ic/classes.ts';
import { ConfigError, loadConfig } from '../runtime/config.ts';
import { commonOptions } from '../runtime/transports/transport.ts';
import { VERSION } from '../runtime/version.ts';
import { SysfsVmbus } from '../runtime/vmbus/index.ts';
import { moveChannel } from './binding/move-channel.ts';
import { completionScript, SHELLS, type Shell, safeWords } from './completion/script.ts';
import { CommandError, EXIT, EXIT_HELP, toCommandError } from './exit.ts';
import { fcopyStatus } from './fcopy/status.ts';
import { generalize } from './generalize/generalize.ts';
import {
  get,
  type KvpOptions,
  list,
  listKeys,
  remove,
  type Surroundings,
  set,
} from './kvp/commands.ts';
import { POOL_CHOICES, POOLS_HELP, parsePool } from './kvp/pool-names.ts';
import { watch } from './kvp/watch.ts';
import { doctor, explain, status as showStatus } from './status/commands.ts';
import { type DaemonSurroundings, runs } from './status/daemon-state.ts';
import { type Snapshot, takeSnapshot } from './status/snapshot.ts';
import { timesyncStatus } from './timesync/status.ts';
import {
  freezeFor,
  loadVssOptions,
  parseDuration,
  showPlan,
  showStatus as showVssStatus,
  thawNow,
  type VssSurroundings,
} from './vss/commands.ts';

/** How the completion scripts ask for words; the words of the command line so far follow. */
const COMPLETE = '--get-yargs-completions';

/**
 * yargs does not fill a command's arguments from what follows "--". So these words lose their look
 * of options by a NUL in front, which no word of a command line can have, and get it back by
 * `plain`.
 */
function markLiterals(argv: readonly string[]): string[] {
  const at = argv.indexOf('--');
  return at < 0
    ? [...argv]
    : [...argv.slice(0, at), ...argv.slice(at + 1).map((word) => `\0${word}`)];
}

const plain = (word: string): string => word.replaceAll('\0', '');

/**
 * yargs makes a list of what is given more than once; where one value is meant, which one is not
 * for us to guess.
 */
const once = (name: string) => (value: string | string[] | undefined) => {
  if (Array.isArray(value)) throw new CommandError('usage', `give --${name} once`);
  return value;
};

/** Longest --timeout: what setTimeout can wait, in whole days. */
const MAX_TIMEOUT_SECS = 24 * 86_400;

/** The surroundings, with the addon loaded only when a command needs it: help works without. */
export type CliSurroundings = Omit<Surroundings, 'native'> & {
  loadNative(): Promise<Surroundings['native']>;
  /** The program that plays a host, where there is one beside this program: a development tree. */
  readonly simulator: string | undefined;
  /** Where sysfs is; /sys but in tests. */
  readonly sysfs?: string;
  /** The daemons' configuration, which may name another folder for the pools. */
  readonly configFile: string;
  /** Asks a person; undefined: there is none. */
  readonly ask?: (question: string) => Promise<boolean>;
} & VssSurroundings &
  DaemonSurroundings;

interface KvpArguments {
  readonly json: boolean;
  readonly pool: readonly string[];
  readonly 'pool-directory'?: string | undefined;
}

/** Runs `vmic ARGUMENTS` and gives its exit status. Nothing is thrown but programming errors. */
export async function runCli(argv: readonly string[], around: CliSurroundings): Promise<number> {
  let status: number = EXIT.ok;
  const run = (work: (loaded: Surroundings) => Promise<number>) => async (): Promise<void> => {
    status = await work({ ...around, native: await around.loadNative() });
  };
  // Without the addon: a channel can be given back even when nothing else works
  const move = async (
    how: 'bind' | 'release',
    service: ServiceName,
    options: { readonly json: boolean; readonly ifUnbound?: boolean },
  ): Promise<void> => {
    status = await moveChannel(
      around,
      new SysfsVmbus(around.sysfs === undefined ? {} : { sysfs: around.sysfs }),
      how,
      service,
      options,
    );
  };
  const complete: FallbackCompletionFunction = (_current, argv, byDefault, done) =>
    byDefault((_error, words) => {
      void completeKeys(argv, around).then(
        (keys) => done([...(words ?? []), ...keys]),
        () => done(words ?? []),
      );
    });
  const completing = argv[0] === COMPLETE;
  const program = yargs(markLiterals(argv))
    .scriptName('vmic')
    .locale('en')
    .usage('$0 <command>\n\nHyper-V integration services for Linux guests.')
    .version(VERSION)
    .alias('version', 'V')
    .help()
    .alias('help', 'h')
    .parserConfiguration({
      'parse-numbers': false,
      'parse-positional-numbers': false,
      'dot-notation': false,
    })
    .strict(!completing)
    .recommendCommands()
    // Proposals for a shell are printed by yargs itself, some time after parsing, and end the
    // process
    .exitProcess(completing)
    .fail((message, error) => {
      // yargs' own errors and messages are all about usage
      throw error === undefined || error.name === 'YError'
        ? new CommandError('usage', message ?? error.message)
        : error;
    })
    .command('kvp', 'Read and write the key-value pairs shared with the host', (y) =>
      kvpCommands(y, run, around.configFile),
    )
    .command(
      'bind <service>',
      "Give a service's VMBus channel to user space",
      (y) =>
        bindingArguments(y)
          .option('if-unbound', {
            type: 'boolean',
            default: false,
            describe: 'only a channel that no driver has, such as that of fcopy from Linux 6.10 on',
          })
          .epilog(
            'The channel moves from hv_utils to uio_hv_generic, so that vmic-SERVICE can ' +
              'answer over UIO.\n' +
              'Undone completely when it fails. Takes root, and a kernel from about 6.12 on.',
          ),
      ({ service, json, 'if-unbound': ifUnbound }) =>
        move('bind', service as ServiceName, { json, ifUnbound }),
    )
    .command(
      'release <service>',
      "Give a service's VMBus channel back to the kernel",
      (y) =>
        bindingArguments(y).epilog(
          'From then on hv_utils answers by itself. Nothing happens when it does already. ' +
            'Takes root.',
        ),
      ({ service, json }) => move('release', service as ServiceName, { json }),
    )
    .command('timesync', 'Time synchronization with the host', (y) =>
      timesyncCommands(y, (file, json) => {
        status = timesyncStatus(around, file, json);
      }),
    )
    .command('vss', 'Freeze file systems for backups', (y) =>
      vssCommands(y, around, (code) => {
        status = code;
      }),
    )
    .command(
      'status',
      'Print who answers each service, and how',
      (y) =>
        y
          .option('json', { type: 'boolean', default: false, describe: 'print one JSON object' })
          .epilog(
            'Needs no root. Exit status 1 when there is no VMBus: no Hyper-V guest, or ' +
              'hv_vmbus is not loaded.',
          ),
      async ({ json }) => {
        status = showStatus(around, await snapshot(around), json);
      },
    )
    .command(
      'doctor',
      'Find what is wrong, and say what mends it',
      (y) =>
        y
          .option('json', {
            type: 'boolean',
            default: false,
            describe: 'print one JSON object, with all that was looked at',
          })
          .option('all', { type: 'boolean', default: false, describe: 'print notes, too' })
          .option('explain', {
            type: 'string',
            requiresArg: true,
            coerce: once('explain'),
            describe: 'explain what a host shows, e.g. 0x800710DF or "No Contact"',
          })
          .example('$0 doctor --explain "No Contact"', '')
          .epilog(
            'Root sees more (denials by SELinux or AppArmor). Changes nothing.\n' +
              'Exit status: 0 nothing is wrong, 1 there is a problem, or no VMBus; warnings ' +
              'do not count.',
          ),
      async ({ json, all, explain: code }) => {
        status =
          code === undefined
            ? doctor(around, await snapshot(around), { json, all })
            : explain(around, code, json);
      },
    )
    .command(
      'generalize',
      'Empty the pools, so that an image can be made of this machine',
      (y) =>
        y
          .option('dry-run', {
            type: 'boolean',
            default: false,
            describe: 'only print what would be emptied',
          })
          .option('yes', { type: 'boolean', alias: 'y', default: false, describe: 'do not ask' })
          .option('json', { type: 'boolean', default: false, describe: 'print one JSON object' })
          .option('pool-directory', {
            type: 'string',
            requiresArg: true,
            coerce: once('pool-directory'),
            defaultDescription: `kvp.pool_directory of the configuration, or ${DEFAULT_POOL_DIRECTORY}`,
            describe: 'the folder of the pool files',
          })
          .epilog(
            'Files, owners and modes stay. Takes root. cloud-init clean runs it, too.\nExit ' +
              'status 1 when the answer was no.',
          ),
      async ({ dryRun, yes, json, poolDirectory }) => {
        const directory = poolDirectory ?? (await configuredDirectory(around.configFile));
        const native = await around.loadNative();
        const options = { directory, dryRun, yes, json, daemonRuns: runs(around, 'kvp') };
        status = await generalize({ ...around, native, ask: around.ask }, options);
      },
    )
    .command('fcopy', 'Files that the host copies into this guest', (y) =>
      fcopyCommands(y, async (file, json) => {
        status = await fcopyStatus(around, file, json);
      }),
    )
    .command(
      'completion <shell>',
      'Print a shell completion script',
      (y) =>
        y
          .positional('shell', {
            type: 'string',
            choices: SHELLS,
            demandOption: true,
            describe: 'the shell you use',
          })
          .epilog(
            'To install it:\n' +
              '  vmic completion bash > /usr/share/bash-completion/completions/vmic\n' +
              '  vmic completion zsh > /usr/local/share/zsh/site-functions/_vmic\n' +
              '  vmic completion fish > /etc/fish/completions/vmic.fish',
          ),
      ({ shell }) => around.out(completionScript(shell as Shell)),
    )
    .completion('__complete', false, complete)
    .demandCommand(1, 1, 'Say what to do: a command is missing')
    .epilog(EXIT_HELP)
    .wrap(80);
  if (around.simulator !== undefined) {
    program.command(
      'simulate',
      'Play a Hyper-V host to the services of this tree (see simulate --help)',
    );
  }
  try {
    await program.parseAsync();
  } catch (error) {
    const failure = toCommandError(error);
    // A line that is still being written is seldom complete
    if (completing) return EXIT.ok;
    around.err(`vmic: ${plain(failure.message)}\n`);
    if (failure.exit === 'usage') around.err("Try '--help' after the command.\n");
    return EXIT[failure.exit];
  }
  return status;
}

async function snapshot(around: CliSurroundings): Promise<Snapshot> {
  const { root, run = async () => undefined, configFile } = around;
  // A configuration that is wrong must not keep anybody from finding out what is
  const poolDirectory = await configuredDirectory(configFile).catch(() => DEFAULT_POOL_DIRECTORY);
  return takeSnapshot({ poolDirectory, run, ...(root === undefined ? {} : { root }) });
}

const bindingArguments = (y: Argv) =>
  y
    .positional('service', {
      type: 'string',
      choices: SERVICE_NAMES,
      demandOption: true,
      describe: 'the service whose channel it is',
    })
    .option('json', { type: 'boolean', default: false, describe: 'print JSON' });

function timesyncCommands(y: Argv, show: (file: string, json: boolean) => void): Argv {
  return y
    .command(
      'status',
      "Print how the guest's clock is kept right",
      (c) =>
        c
          .option('json', { type: 'boolean', default: false, describe: 'print one JSON object' })
          .option('status-file', {
            type: 'string',
            requiresArg: true,
            default: DEFAULT_STATUS_FILE,
            describe: 'what vmic-timesync writes',
          })
          .epilog(
            'Exit status 1 when vmic-timesync does not run. Modes:\n' +
              '  discipline  the clock is slewed by the samples of the host\n' +
              '  chrony      the samples are given to chronyd, which disciplines the clock\n' +
              '  observe     another program disciplines the clock\n' +
              'In all of them the clock is set when the host orders it, or when this guest ' +
              'was suspended.\n' +
              'To choose another: mode = "..." in section [timesync] of /etc/vmic/config.toml.',
          ),
      ({ 'status-file': file, json }) => show(file, json),
    )
    .demandCommand(1, 1, 'Say what to do: status');
}

interface VssArguments {
  readonly json: boolean;
  readonly config?: string | undefined;
  readonly set: readonly string[];
}

function vssCommands(y: Argv, around: CliSurroundings, done: (status: number) => void): Argv {
  const options = ({ config, set }: VssArguments) =>
    loadVssOptions(config ?? around.configFile, config !== undefined, set);
  return y
    .option('json', { type: 'boolean', default: false, describe: 'print one JSON object' })
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
    })
    .command(
      'status',
      'Print what was frozen, for how long, and what was left out',
      (c) => c.epilog('Exit status 1 when vmic-vss neither runs nor is started by requests.'),
      async (argv) => done(await showVssStatus(around, await options(argv), argv.json)),
    )
    .command(
      'plan',
      'Print what a backup would freeze now, and what not, and why',
      (c) =>
        c.example('$0 vss plan --set vss.include=/', 'what another configuration would come to'),
      async (argv) => done(showPlan(around, await options(argv), argv.json)),
    )
    .command(
      'freeze',
      'Freeze for some time, and thaw',
      (c) =>
        c
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
      async (argv) =>
        done(
          await freezeFor(around, await options(argv), {
            forMs: argv.for,
            yes: argv.yes,
            json: argv.json,
          }),
        ),
    )
    .command(
      'thaw',
      'Thaw now what vmic has frozen',
      (c) =>
        c
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
      async (argv) => {
        const { force, json, 'last-resort': lastResort } = argv;
        done(await thawNow(around, await options(argv), { force, lastResort, json }));
      },
    )
    .demandCommand(1, 1, 'Say what to do: status, plan, freeze or thaw');
}

function fcopyCommands(y: Argv, show: (file: string, json: boolean) => Promise<void>): Argv {
  return y
    .command(
      'status',
      'Print what is being copied, how far it is, and what became of the last ones',
      (c) =>
        c
          .option('json', { type: 'boolean', default: false, describe: 'print one JSON object' })
          .option('status-file', {
            type: 'string',
            requiresArg: true,
            default: FCOPY_STATUS_FILE,
            describe: 'what vmic-fcopy writes, at most once a second',
          })
          .epilog('Exit status 1 when vmic-fcopy neither runs nor is started by requests.'),
      ({ 'status-file': file, json }) => show(file, json),
    )
    .demandCommand(1, 1, 'Say what to do: status');
}

type Run = (work: (loaded: Surroundings) => Promise<number>) => () => Promise<void>;

function kvpCommands(y: Argv, run: Run, configFile: string): Argv {
  const options = async (argv: KvpArguments): Promise<KvpOptions> => ({
    json: argv.json,
    directory: argv['pool-directory'] ?? (await configuredDirectory(configFile)),
    pools: [...new Set(argv.pool.map(parsePool))],
  });
  const one = async (argv: KvpArguments): Promise<KvpOptions> => {
    const parsed = await options(argv);
    if (parsed.pools.length > 1)
      throw new CommandError('usage', 'a key is written to one pool: give --pool once');
    return parsed;
  };
  const key = {
    type: 'string',
    demandOption: true,
    coerce: plain,
    describe: 'the key, up to 511 bytes of UTF-8; after -- it may begin with -',
  } as const;
  return y
    .option('json', {
      type: 'boolean',
      default: false,
      describe: 'print JSON, with all text exactly as it is stored',
    })
    .option('pool', {
      type: 'string',
      array: true,
      nargs: 1,
      requiresArg: true,
      choices: POOL_CHOICES,
      default: [] as string[],
      defaultDescription: 'see below',
      describe: 'the pool, by name or number',
    })
    .option('pool-directory', {
      type: 'string',
      requiresArg: true,
      coerce: once('pool-directory'),
      defaultDescription: `kvp.pool_directory of the configuration, or ${DEFAULT_POOL_DIRECTORY}`,
      describe: 'the folder of the pool files',
    })
    .command(
      'get <key>',
      'Print the value of a key',
      (c) =>
        c
          .positional('key', key)
          .example('$0 kvp get VirtualMachineName', 'what the host calls this guest')
          .example('$0 kvp get --pool external Role', 'only what the host wrote')
          .epilog(
            'Without --pool the key is looked for in all pools; a key that is in several ' +
              'needs --pool.\n' +
              'Scripts should always name the pool. On a terminal control characters are ' +
              'shown escaped.',
          ),
      (argv) => run(async (around) => get(around, await options(argv), argv.key))(),
    )
    .command(
      'set <key> [value]',
      'Write a key',
      (c) =>
        c
          .positional('key', key)
          .positional('value', {
            type: 'string',
            coerce: (word: string | undefined) => (word === undefined ? undefined : plain(word)),
            describe: 'the value, up to 2047 bytes of UTF-8',
          })
          .option('stdin', {
            type: 'boolean',
            default: false,
            describe: 'read the value from standard input',
          })
          .check((argv) => {
            if (argv.stdin === (argv.value !== undefined)) {
              throw new CommandError('usage', 'give either a value or --stdin');
            }
            return true;
          })
          .example('$0 kvp set Ready yes', 'tell the host that this guest is ready')
          .example('$0 kvp set -- Offset -5', 'a value that begins with -')
          .example('$0 kvp set --stdin Token < token.txt', 'not visible in the list of processes')
          .epilog(
            'The default pool is guest: what a host reads, for example with Get-CimInstance\n' +
              'Msvm_KvpExchangeComponent (GuestExchangeItems). Writing usually takes root.',
          ),
      (argv) => run(async (around) => set(around, await one(argv), argv.key, argv.value))(),
    )
    .command(
      'list',
      'Print all keys and values',
      (c) =>
        c
          .example('$0 kvp list', 'everything, with the name of the pool in front')
          .example('$0 kvp list --pool external', 'what the host told this guest')
          .example("$0 kvp list --json | jq '.[].key'", ''),
      (argv) => run(async (around) => list(around, await options(argv)))(),
    )
    .command(
      'delete <key>',
      'Remove a key',
      (c) =>
        c
          .positional('key', key)
          .example('$0 kvp delete Ready', 'take back what the guest told the host')
          .epilog('The default pool is guest. Removing usually takes root.'),
      (argv) => run(async (around) => remove(around, await one(argv), argv.key))(),
    )
    .command(
      'watch [key..]',
      'Print changes as they happen',
      (c) =>
        c
          .positional('key', {
            type: 'string',
            array: true,
            coerce: (words: string[]) => words.map(plain),
            describe: 'only changes of these keys',
          })
          .option('until', {
            type: 'string',
            requiresArg: true,
            coerce: once('until'),
            describe:
              'end with status 0 as soon as KEY exists, or KEY=VALUE holds (also when it ' +
              'does already)',
          })
          .option('timeout', {
            type: 'string',
            requiresArg: true,
            coerce: once('timeout'),
            describe: 'seconds after which to end; with --until the status is then 1',
          })
          .example('$0 kvp watch', 'everything, until Ctrl-C')
          .example('$0 kvp watch --pool external --until Go=yes --timeout 60', 'wait for the host')
          .epilog(
            'No polling: the kernel tells when a pool file changes. --json prints one object ' +
              'a line.',
          ),
      (argv) =>
        run(async (around) =>
          watch(around, {
            ...(await options(argv)),
            keys: argv.key ?? [],
            until: argv.until,
            timeoutSecs: parseTimeout(argv.timeout),
          }),
        )(),
    )
    .demandCommand(1, 1, 'Say what to do: get, set, list, delete or watch')
    .epilog(`${POOLS_HELP}\n\nReading needs no root.`);
}

function parseTimeout(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const seconds = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
  if (seconds <= MAX_TIMEOUT_SECS) return seconds;
  throw new CommandError(
    'usage',
    `--timeout ${text}: expected seconds, from 0 to ${MAX_TIMEOUT_SECS}`,
  );
}

/** Where the daemon keeps the pools. */
async function configuredDirectory(file: string): Promise<string> {
  const sections = { kvp: { ...kvpOptions, ...commonOptions('') } };
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

/** The keys there are, where a key is what comes next. */
async function completeKeys(
  argv: Record<string, unknown>,
  around: CliSurroundings,
): Promise<string[]> {
  const [, section, command] = argv['_'] as string[];
  if (section !== 'kvp' || !['get', 'set', 'delete', 'watch'].includes(command ?? '')) return [];
  const named = argv['pool-directory'];
  const directory =
    named === undefined ? await configuredDirectory(around.configFile) : String(named);
  const pools = [argv['pool'] ?? []].flat().map((pool) => parsePool(String(pool)));
  const loaded = { ...around, native: await around.loadNative() };
  return safeWords(await listKeys(loaded, { json: false, directory, pools }));
}
