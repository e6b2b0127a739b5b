import type { Option } from '../../runtime/config.ts';
import type { ExitStatus } from '../../runtime/exit-statuses.ts';
import { commonOptions, type DaemonDeclaration } from '../../runtime/options.ts';
import { wrap } from '../../runtime/text.ts';
import { formatValue, limitsOf } from '../../runtime/usage.ts';
import { exampleOf, type Manual } from './declarations.ts';

const COLUMNS = 78;

/** Escapes what roff would read as its own; a line never begins with a control character. */
const escaped = (text: string): string => text.replaceAll('\\', '\\e').replace(/^[.']/, '\\&$&');

/** An argument of a macro: quotes would group words. */
const argument = (text: string): string => escaped(text).replaceAll('"', '\\(dq');

/**
 * Returns sentences as lines of mdoc(7): each begins on a line of its own, code in backquotes is
 * .Cm, and "name(8)" is .Xr.
 */
export function mdoc(text: string): string[] {
  return text.split(/(?<=[.:]) (?=[A-Z0-9`])/).flatMap((sentence) => {
    const pieces = sentence.split(/(\(?`[^`]+`[.,;:)]*|[\w-]+\(\d\)[.,;:]*)/);
    return pieces.flatMap((piece) => {
      const code = /^(\(?)`([^`]+)`(.*)$/.exec(piece);
      if (code) return [macro('Cm', `${code[1] && '( '}${argument(code[2]!)}`, code[3]!)];
      const page = /^([\w-]+)\((\d)\)(.*)$/.exec(piece);
      if (page) return [macro('Xr', `${page[1]} ${page[2]}`, page[3]!)];
      return wrap(piece, { columns: COLUMNS }).map(escaped);
    });
  });
}

const macro = (name: string, argument: string, punctuation: string): string =>
  [`.${name} ${argument}`, ...punctuation].join(' ');

const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

const item = (key: string, option: Option): string[] => [
  `.It Cm ${key} = ${argument(formatValue(option.default))}`,
  ...mdoc(option.help),
  ...mdoc(`Value: ${limitsOf(option)}.`),
];

const list = (items: readonly string[]): string[] => ['.Bl -tag -width Ds', ...items, '.El'];

function section({ name, summary, section, options, defaultTransport }: DaemonDeclaration) {
  const transport: readonly string[] = [
    `.It Cm transport = ${argument(formatValue(defaultTransport))}`,
    'The daemon finds its channel here; the forms are listed above.',
  ];
  return [
    `.Ss Section ${section}`,
    `.Xr ${name} 8 :`,
    ...mdoc(summary),
    ...list([
      ...transport,
      ...Object.entries(options).flatMap(([key, option]) => item(key, option)),
    ]),
  ];
}

/** Returns the list of keys in vmic-config(5). */
export function manKeys({ log, daemons }: Manual): string[] {
  const { transport, idle_exit_ms: idle } = commonOptions('');
  return [
    // Before the first subsection, because these keys belong to all of them
    "Each daemon's section has these keys beside its own.",
    ...list([
      '.It Cm transport',
      ...mdoc(transport.help),
      'The default stands with each section.',
      ...mdoc(`Value: ${limitsOf(transport)}.`),
      ...item('idle_exit_ms', idle),
    ]),
    '.Ss Section log',
    'Every daemon reads this section.',
    ...list(Object.entries(log).flatMap(([key, option]) => item(key, option))),
    ...daemons.flatMap(section),
  ];
}

/** Returns the list below EXIT STATUS. */
export const manExitStatuses = (statuses: Readonly<Record<string, ExitStatus>>): string[] => [
  '.Bl -tag -width Ds -compact',
  ...Object.values(statuses).flatMap(({ status, meaning }) => [
    `.It ${status}`,
    ...mdoc(`${capital(meaning)}.`),
  ]),
  '.El',
];

/** Returns the examples of all sections as one file. */
export const manExamples = ({ log, daemons }: Manual): string[] => {
  const tables = [
    ['log', log] as const,
    ...daemons.map(({ section, options }) => [section, options] as const),
  ];
  const sections = tables.flatMap(([name, table]) => exampleOf(name, table) ?? []);
  return ['.Bd -literal -offset indent', ...sections.join('\n\n').split('\n').map(escaped), '.Ed'];
};
