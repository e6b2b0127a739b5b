import type { Argv } from 'yargs';
import { once, plain } from '../arguments.ts';
import { command, group } from '../command.ts';
import { CommandError } from '../exit.ts';
import type { Surroundings } from '../surroundings.ts';
import {
  KEY,
  onePoolOptions,
  POOL_DIRECTORY,
  type PoolArguments,
  parseTimeout,
  poolOptions,
} from './arguments.ts';
import { get, list, remove, set } from './keys.ts';
import { POOL_CHOICES, POOLS_HELP } from './pool-names.ts';
import type { KvpSurroundings } from './store.ts';
import { watch } from './watch.ts';

const withNative = async (around: Surroundings): Promise<KvpSurroundings> => ({
  ...around,
  native: await around.loadNative(),
});

const getCommand = command({
  usage: 'get <key>',
  about: 'Print the value of a key',
  options: (y: Argv<PoolArguments>) =>
    y
      .positional('key', KEY)
      .example('$0 kvp get VirtualMachineName', 'what the host calls this guest')
      .example('$0 kvp get --pool external Role', 'only what the host wrote')
      .epilog(
        'Without --pool the key is looked for in all pools; a key that is in several ' +
          'needs --pool.\n' +
          'Scripts should always name the pool. On a terminal control characters are ' +
          'shown escaped.',
      ),
  run: async (around, argv) =>
    get(await withNative(around), await poolOptions(around.configFile, argv), argv.key),
});

const setCommand = command({
  usage: 'set <key> [value]',
  about: 'Write a key',
  options: (y: Argv<PoolArguments>) =>
    y
      .positional('key', KEY)
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
  run: async (around, argv) =>
    set(
      await withNative(around),
      await onePoolOptions(around.configFile, argv),
      argv.key,
      argv.value,
    ),
});

const listCommand = command({
  usage: 'list',
  about: 'Print all keys and values',
  options: (y: Argv<PoolArguments>) =>
    y
      .example('$0 kvp list', 'everything, with the name of the pool in front')
      .example('$0 kvp list --pool external', 'what the host told this guest')
      .example("$0 kvp list --json | jq '.[].key'", ''),
  run: async (around, argv) =>
    list(await withNative(around), await poolOptions(around.configFile, argv)),
});

const deleteCommand = command({
  usage: 'delete <key>',
  about: 'Remove a key',
  options: (y: Argv<PoolArguments>) =>
    y
      .positional('key', KEY)
      .example('$0 kvp delete Ready', 'take back what the guest told the host')
      .epilog('The default pool is guest. Removing usually takes root.'),
  run: async (around, argv) =>
    remove(await withNative(around), await onePoolOptions(around.configFile, argv), argv.key),
});

const watchCommand = command({
  usage: 'watch [key..]',
  about: 'Print changes as they happen',
  options: (y: Argv<PoolArguments>) =>
    y
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
  run: async (around, argv) =>
    watch(await withNative(around), {
      ...(await poolOptions(around.configFile, argv)),
      keys: argv.key ?? [],
      until: argv.until,
      timeoutSecs: parseTimeout(argv.timeout),
    }),
});

export const kvpCommand = group({
  usage: 'kvp',
  about: 'Read and write the key-value pairs shared with the host',
  options: (y) =>
    y
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
      .option('pool-directory', POOL_DIRECTORY)
      .epilog(`${POOLS_HELP}\n\nReading needs no root.`),
  commands: [getCommand, setCommand, listCommand, deleteCommand, watchCommand],
});
