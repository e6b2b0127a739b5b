import fs from 'node:fs';
import path from 'node:path';

interface Described {
  /**
   * What the key does, in sentences. Manuals show them: a value or command stands in backquotes,
   * and "vmic-hooks(7)" is a reference to a man page.
   */
  readonly help: string;
}

/** One key of a section: everything that the check, --help and the manuals say of it. */
export type Option = Described &
  (
    | {
        readonly type: 'string';
        readonly default: string;
        /** For the manuals: which values there are. */
        readonly expects?: string;
        readonly example?: string;
        /** Returns what was expected instead of a bad value. */
        readonly check?: (value: string) => string | undefined;
      }
    | {
        /** An absolute path. */
        readonly type: 'path';
        readonly default: string;
        /** An empty text is good, too: there is no such file. */
        readonly mayBeEmpty?: true;
        readonly example?: string;
      }
    | {
        readonly type: 'choice';
        readonly default: string;
        readonly choices: readonly string[];
        readonly example?: string;
      }
    | { readonly type: 'boolean'; readonly default: boolean; readonly example?: boolean }
    | {
        readonly type: 'integer';
        readonly default: number;
        readonly min: number;
        readonly max: number;
        readonly unit?: string;
        readonly example?: number;
      }
    | {
        readonly type: 'strings';
        readonly default: readonly string[];
        /** The only items there are. */
        readonly choices?: readonly string[];
        /** An empty list is an error. */
        readonly needsOne?: true;
        readonly example?: readonly string[];
        /** Returns what is wrong with an item, to be read after the item itself. */
        readonly check?: (item: string) => string | undefined;
      }
  );

export type OptionTable = Readonly<Record<string, Option>>;

type ValueOf<O extends Option> = O extends { type: 'boolean' }
  ? boolean
  : O extends { type: 'integer' }
    ? number
    : O extends { type: 'strings'; choices: readonly (infer Item)[] }
      ? readonly Item[]
      : O extends { type: 'strings' }
        ? readonly string[]
        : O extends { type: 'choice'; choices: readonly (infer Choice)[] }
          ? Choice
          : string;
export type OptionValues<T extends OptionTable> = { readonly [K in keyof T]: ValueOf<T[K]> };

/**
 * Every section there may be: one file serves all services, and a misspelt section must not pass in
 * silence.
 */
export const SECTIONS = [
  'log',
  'heartbeat',
  'shutdown',
  'timesync',
  'kvp',
  'vss',
  'fcopy',
  'session',
] as const;

export const DEFAULT_CONFIG_FILE = '/etc/vmic/config.toml';

/**
 * A configuration that can't be used. The message names file, line and key, and says what is
 * expected.
 */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

export interface ConfigSource {
  /** The main file; its drop-ins lie in `<file>.d/*.toml`. */
  readonly file: string;
  /** A missing main file is an error (it was named on the command line). */
  readonly required: boolean;
  /** "section.key=value" from the command line, strongest. */
  readonly overrides: readonly string[];
}

type Tables<S extends Readonly<Record<string, OptionTable>>> = {
  readonly [K in keyof S]: OptionValues<S[K]>;
};

/**
 * Reads file, drop-ins in name order, then overrides; later ones win key by key. Throws
 * ConfigError.
 */
export async function loadConfig<S extends Readonly<Record<string, OptionTable>>>(
  source: ConfigSource,
  sections: S,
): Promise<Tables<S>> {
  const values = new Map<string, unknown>();
  for (const [section, table] of Object.entries(sections)) {
    for (const [key, option] of Object.entries(table))
      values.set(`${section}.${key}`, option.default);
  }
  for (const file of configFiles(source)) await readFile(file, sections, values);
  for (const override of source.overrides) applyOverride(override, sections, values);
  return Object.fromEntries(
    Object.entries(sections).map(([section, table]) => [
      section,
      Object.fromEntries(Object.keys(table).map((key) => [key, values.get(`${section}.${key}`)])),
    ]),
  ) as Tables<S>;
}

function configFiles(source: ConfigSource): string[] {
  const files: string[] = [];
  if (fs.existsSync(source.file)) files.push(source.file);
  else if (source.required)
    throw new ConfigError(`${source.file}: no such file (named by --config)`);
  const dropIns = `${source.file}.d`;
  try {
    const names = fs
      .readdirSync(dropIns)
      .filter((name) => name.endsWith('.toml') && !name.startsWith('.'));
    files.push(...names.sort().map((name) => path.join(dropIns, name)));
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code !== 'ENOENT') throw new ConfigError(`${dropIns}: ${message}`);
  }
  return files;
}

async function readFile(
  file: string,
  sections: Readonly<Record<string, OptionTable>>,
  values: Map<string, unknown>,
): Promise<void> {
  let text: string;
  try {
    text = fs.readFileSync(file, 'utf8');
  } catch (error) {
    throw new ConfigError(`${file}: ${(error as Error).message}`);
  }
  // Loaded only where there is a file: most guests have none
  const toml = await import('smol-toml');
  let document: Record<string, unknown>;
  try {
    document = toml.parse(text);
  } catch (error) {
    const { line, message } = error as { line?: number; message: string };
    throw new ConfigError(
      `${file}${line ? `:${line}` : ''}: not valid TOML: ${message.split('\n')[0]}`,
    );
  }
  for (const [section, content] of Object.entries(document)) {
    if (!(SECTIONS as readonly string[]).includes(section)) {
      throw new ConfigError(
        `${at(file, text, section)}: unknown section "${section}"; there are ` +
          `${SECTIONS.join(', ')}`,
      );
    }
    if (
      typeof content !== 'object' ||
      content === null ||
      Array.isArray(content) ||
      content instanceof Date
    ) {
      throw new ConfigError(
        `${at(file, text, section)}: "${section}" has to be a section: [${section}]`,
      );
    }
    const table = sections[section];
    if (!table) continue; // another service's
    for (const [key, value] of Object.entries(content)) {
      const where = `${at(file, text, section, key)}: ${section}.${key}`;
      values.set(`${section}.${key}`, checked(value, optionOf(table, key, where), where));
    }
  }
}

function applyOverride(
  override: string,
  sections: Readonly<Record<string, OptionTable>>,
  values: Map<string, unknown>,
): void {
  const match = /^([a-z]+)\.([a-z0-9_]+)=(.*)$/s.exec(override);
  if (!match)
    throw new ConfigError(
      `--set ${override}: expected SECTION.KEY=VALUE, for example log.level=debug`,
    );
  const [, section, key, text] = match as unknown as [string, string, string, string];
  const where = `--set ${section}.${key}`;
  const table = sections[section];
  if (!table)
    throw new ConfigError(
      `${where}: no such section here; there are ${Object.keys(sections).join(', ')}`,
    );
  const option = optionOf(table, key, where);
  const value =
    option.type === 'boolean' && /^(true|false)$/.test(text)
      ? text === 'true'
      : option.type === 'integer' && /^-?\d+$/.test(text)
        ? Number(text)
        : option.type === 'strings'
          ? text.split(',').filter((item) => item !== '')
          : text;
  values.set(`${section}.${key}`, checked(value, option, where));
}

function optionOf(table: OptionTable, key: string, where: string): Option {
  if (Object.hasOwn(table, key)) return table[key] as Option;
  throw new ConfigError(`${where}: unknown key; there are ${Object.keys(table).join(', ')}`);
}

/** Returns which values a key takes, as the end of a sentence that begins with "expected". */
export function expectationOf(option: Option): string {
  switch (option.type) {
    case 'string':
      return option.expects ?? 'a string';
    case 'path':
      return `an absolute path${option.mayBeEmpty ? ' or an empty text' : ''}`;
    case 'choice':
      return `one of ${option.choices.join(', ')}`;
    case 'boolean':
      return 'true or false';
    case 'integer':
      return `a whole number from ${option.min} to ${option.max}`;
    case 'strings':
      return option.needsOne ? 'a list of one string at least' : 'a list of strings';
  }
}

/** JSON has no bigint: shows it by its digits. */
const bigintAsText = (_key: string, value: unknown): unknown =>
  typeof value === 'bigint' ? `${value}` : value;

function checked(value: unknown, option: Option, where: string): unknown {
  const fail = (expected: string): never => {
    throw new ConfigError(
      `${where}: expected ${expected}, got ${JSON.stringify(value, bigintAsText)}`,
    );
  };
  if ((option.type === 'string' || option.type === 'path') && typeof value !== 'string')
    return fail('a string');
  if (!isOfType(value, option)) return fail(expectationOf(option));
  if (option.type === 'string') {
    const expected = option.check?.(value as string);
    if (expected !== undefined) return fail(expected);
  }
  if (option.type === 'strings') {
    for (const item of value as readonly string[]) {
      const problem =
        option.choices && !option.choices.includes(item)
          ? `is none of ${option.choices.join(', ')}`
          : option.check?.(item);
      if (problem !== undefined) throw new ConfigError(`${where}: "${item}" ${problem}`);
    }
  }
  return value;
}

function isOfType(value: unknown, option: Option): boolean {
  switch (option.type) {
    case 'string':
      return typeof value === 'string';
    case 'path':
      return (
        typeof value === 'string' &&
        (path.isAbsolute(value) || (value === '' && option.mayBeEmpty === true))
      );
    case 'choice':
      return typeof value === 'string' && option.choices.includes(value);
    case 'boolean':
      return typeof value === 'boolean';
    case 'integer':
      return (
        Number.isInteger(value) &&
        (value as number) >= option.min &&
        (value as number) <= option.max
      );
    case 'strings':
      return (
        Array.isArray(value) &&
        value.every((item) => typeof item === 'string') &&
        (value.length > 0 || !option.needsOne)
      );
  }
}

/**
 * "file:line" of a key, found by its text since TOML parsers don't keep positions; of its section
 * where that fails.
 */
function at(file: string, text: string, section: string, key?: string): string {
  const lines = text.split('\n');
  const name = (word: string): string => `["']?${word.replace(/[^\w-]/g, '\\$&')}["']?`;
  const header = lines.findIndex((line) =>
    new RegExp(`^\\s*\\[\\s*${name(section)}\\s*[\\].]`).test(line),
  );
  const plain = lines.findIndex((line) =>
    new RegExp(`^\\s*${name(section)}\\s*[.=]${key ? `\\s*${name(key)}\\s*=` : ''}`).test(line),
  );
  let line = header >= 0 ? header : plain;
  if (key !== undefined && header >= 0) {
    const inside = lines.findIndex(
      (text, i) => i > header && new RegExp(`^\\s*${name(key)}\\s*[.=]`).test(text),
    );
    if (inside >= 0) line = inside;
  }
  return line >= 0 ? `${file}:${line + 1}` : file;
}
