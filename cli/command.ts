import type { ArgumentsCamelCase, Argv } from 'yargs';
import type { Surroundings } from './surroundings.ts';

type ExitStatus = number | Promise<number>;

/** What a command line asks for. Returns the exit status. */
export type Action = () => ExitStatus;

/** Called once for a command line that names a command and has no mistake. */
export type Choose = (action: Action) => void;

/** A command of `vmic`. */
export interface Command {
  readonly name: string;
  /** Adds the command with its options and its help to a command line. */
  addTo(program: Argv, around: Surroundings, choose: Choose): Argv;
}

interface Description<Given, Options> {
  /** The words of the command as yargs writes them, for example "get <key>". */
  readonly usage: string;
  readonly about: string;
  /** Declares the options. `Given` are the options that the command's group declares. */
  options(program: Argv<Given>, around: Surroundings): Argv<Options>;
}

/** A command that does something: `run` does it, and returns the exit status. */
export function command<Given, Options>({
  usage,
  about,
  options,
  run,
}: Description<Given, Options> & {
  run(around: Surroundings, argv: ArgumentsCamelCase<Options>): ExitStatus;
}): Command {
  return {
    name: nameOf(usage),
    addTo: (program, around, choose) =>
      program.command(
        usage,
        about,
        (y) => options(y as Argv<Given>, around),
        (argv) => choose(() => run(around, argv)),
      ),
  };
}

/** A command that is a subject: a command line has to name one of its commands, too. */
export function group<Options>({
  usage,
  about,
  options,
  commands,
}: Description<object, Options> & { readonly commands: readonly Command[] }): Command {
  const names = commands.map(({ name }) => name);
  return {
    name: nameOf(usage),
    addTo: (program, around, choose) =>
      program.command(usage, about, (y) =>
        addCommands(options(y, around) as Argv, commands, around, choose).demandCommand(
          1,
          1,
          `Say what to do: ${listed(names)}`,
        ),
      ),
  };
}

export const addCommands = (
  program: Argv,
  commands: readonly Command[],
  around: Surroundings,
  choose: Choose,
): Argv => commands.reduce((y, one) => one.addTo(y, around, choose), program);

const nameOf = (usage: string): string => usage.replace(/ .*/, '');

/** "a", "a or b", "a, b or c" */
const listed = (words: readonly string[]): string =>
  [words.slice(0, -1).join(', '), ...words.slice(-1)].filter((part) => part !== '').join(' or ');
