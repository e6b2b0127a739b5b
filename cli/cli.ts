import yargs, { type Argv, type FallbackCompletionFunction } from 'yargs';
import { VERSION } from '../runtime/version.ts';
import { markLiterals, plain } from './arguments.ts';
import { bindCommand, releaseCommand } from './binding/command.ts';
import { type Action, addCommands, type Choose } from './command.ts';
import { completionCommand } from './completion/command.ts';
import { proposeKeys } from './completion/propose.ts';
import { doctorCommand } from './doctor/command.ts';
import { CommandError, EXIT, EXIT_HELP, toCommandError } from './exit.ts';
import { fcopyCommand } from './fcopy/command.ts';
import { generalizeCommand } from './generalize/command.ts';
import { kvpCommand } from './kvp/command.ts';
import { statusCommand } from './status/command.ts';
import type { Surroundings } from './surroundings.ts';
import { timesyncCommand } from './timesync/command.ts';
import { vssCommand } from './vss/command.ts';

/** In the order in which help lists them. */
const COMMANDS = [
  kvpCommand,
  bindCommand,
  releaseCommand,
  timesyncCommand,
  vssCommand,
  statusCommand,
  doctorCommand,
  generalizeCommand,
  fcopyCommand,
  completionCommand,
];

/** How the completion scripts ask for words; the words of the command line so far follow. */
const COMPLETE = '--get-yargs-completions';

/** Runs `vmic ARGUMENTS` and returns its exit status. Throws only programming errors. */
export async function runCli(argv: readonly string[], around: Surroundings): Promise<number> {
  try {
    const action = await parse(argv, around);
    // Words that are being completed name a command, and must not run it
    return isCompleting(argv) ? EXIT.ok : await action();
  } catch (error) {
    const failure = toCommandError(error);
    // A line that is still being written is seldom complete
    if (isCompleting(argv)) return EXIT.ok;
    around.err(`vmic: ${plain(failure.message)}\n`);
    if (failure.exit === 'usage') around.err("Try '--help' after the command.\n");
    return EXIT[failure.exit];
  }
}

const isCompleting = ([first]: readonly string[]): boolean => first === COMPLETE;

/**
 * What a command line asks for. yargs answers some lines by itself (help, version, proposals for a
 * shell); then nothing is left to do.
 */
const parse = (argv: readonly string[], around: Surroundings): Promise<Action> =>
  new Promise((resolve, reject) => {
    commandLine(argv, around, resolve)
      .parseAsync()
      .then(() => resolve(() => EXIT.ok), reject);
  });

function commandLine(argv: readonly string[], around: Surroundings, choose: Choose): Argv {
  const completing = isCompleting(argv);
  const proposeWords: FallbackCompletionFunction = (_current, line, byDefault, done) =>
    byDefault((_error, words) => {
      void proposeKeys(line, around).then(
        (keys) => done([...(words ?? []), ...keys]),
        () => done(words ?? []),
      );
    });
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
    });
  addCommands(program, COMMANDS, around, choose)
    .completion('__complete', false, proposeWords)
    .demandCommand(1, 1, 'Say what to do: a command is missing')
    .epilog(EXIT_HELP)
    .wrap(80);
  if (around.simulator !== undefined) {
    program.command(
      'simulate',
      'Play a Hyper-V host to the services of this tree (see simulate --help)',
    );
  }
  return program;
}
