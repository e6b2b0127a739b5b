import { expectationOf, type Option, type OptionTable } from './config.ts';
import { DAEMON_EXIT_STATUSES } from './exit-statuses.ts';
import { logOptions } from './log-options.ts';
import { type DaemonDeclaration, sectionOptions } from './options.ts';
import { plain, wrap } from './text.ts';

/** Columns of a terminal that --help keeps to. */
const COLUMNS = 79;
const KEY_INDENT = ' '.repeat(8);

/** Returns which values a key takes: what the check expects, with items and unit. */
export const limitsOf = (option: Option): string => {
  if (option.type === 'strings' && option.choices)
    return `a list of these: ${option.choices.join(', ')}`;
  const unit = option.type === 'integer' && option.unit ? ` (${option.unit})` : '';
  return `${expectationOf(option)}${unit}`;
};

/** Returns a value as TOML has it: JSON with a space between items. */
export const formatValue = (value: Option['default']): string =>
  Array.isArray(value)
    ? `[${value.map((item) => JSON.stringify(item)).join(', ')}]`
    : JSON.stringify(value);

/** Returns the part of a daemon's --help that lists the keys of its configuration. */
export const keysHelp = (declaration: DaemonDeclaration): string => {
  const sections: Readonly<Record<string, OptionTable>> = {
    log: logOptions,
    [declaration.section]: sectionOptions(declaration),
  };
  const lines = Object.entries(sections).flatMap(([section, table]) =>
    Object.entries(table).flatMap(([key, option]) => [
      `  ${section}.${key} = ${formatValue(option.default)}`,
      ...wrap(plain(`${option.help} Value: ${limitsOf(option)}.`), {
        columns: COLUMNS,
        indent: KEY_INDENT,
      }),
    ]),
  );
  return ['Keys of the configuration, with their defaults:', ...lines].join('\n');
};

/** Returns the last paragraph of a daemon's --help. */
export const daemonExitHelp = (): string => {
  const list = Object.values(DAEMON_EXIT_STATUSES)
    .map(({ status, meaning }) => `${status} ${meaning}`)
    .join(', ');
  return wrap(plain(`Exit status: ${list}.`), { columns: COLUMNS }).join('\n');
};
