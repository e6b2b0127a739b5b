import { CommandError } from './exit.ts';

/**
 * Marks the words after "--". yargs does not fill a command's arguments from them, because they may
 * look like options. A NUL in front takes that look away: no word of a command line can have one.
 * `plain` removes it.
 */
export function markLiterals(argv: readonly string[]): string[] {
  const at = argv.indexOf('--');
  return at < 0
    ? [...argv]
    : [...argv.slice(0, at), ...argv.slice(at + 1).map((word) => `\0${word}`)];
}

/** A word as it was given: without the mark of `markLiterals`. */
export const plain = (word: string): string => word.replaceAll('\0', '');

/**
 * Refuses an option that is given more than once. yargs makes a list of the values, and the command
 * must not guess which of them is meant.
 */
export const once = (name: string) => (value: string | string[] | undefined) => {
  if (Array.isArray(value)) throw new CommandError('usage', `give --${name} once`);
  return value;
};

/** `--json` of a command that prints one object. */
export const JSON_OBJECT = {
  type: 'boolean',
  default: false,
  describe: 'print one JSON object',
} as const;
