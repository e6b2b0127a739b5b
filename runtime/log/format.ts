import fs from 'node:fs';

export type LogFormat = 'json' | 'journal' | 'terminal';

/**
 * Returns the format that the reader of standard error wants: systemd's journal, a person at a
 * terminal, or another program (plain JSON lines).
 */
export function detectFormat(): LogFormat {
  if (onTerminal()) return 'terminal';
  return toJournal() ? 'journal' : 'json';
}

/**
 * Whether $JOURNAL_STREAM names our standard error (systemd.exec(5)). The variable alone proves
 * nothing, because children inherit it and redirections leave it in place.
 */
function toJournal(): boolean {
  const stream = process.env['JOURNAL_STREAM'];
  if (!stream) return false;
  try {
    const { dev, ino } = fs.fstatSync(2, { bigint: true });
    return stream === `${dev}:${ino}`;
  } catch {
    return false;
  }
}

/**
 * Asks /proc, because `process.stderr.isTTY` loads Node's stream and network modules, which take
 * 2 MB.
 */
function onTerminal(): boolean {
  try {
    return /^\/dev\/(pts\/|tty|console)/.test(fs.readlinkSync('/proc/self/fd/2'));
  } catch {
    return false;
  }
}

/**
 * Turns one JSON line into the journal's form ("<3>" first: sd-daemon(3)), or into the form that a
 * person reads.
 */
export function decorate(line: string, format: Exclude<LogFormat, 'json'>): string {
  const { level, priority, time, name, pid: _, message, ...fields } = JSON.parse(line);
  if (format === 'journal') return `<${priority}>${line}`;
  const rest = Object.entries(fields).map(([key, value]) => ` ${key}=${printable(value)}`);
  return (
    `${time.slice(11, 23)} ${name} ${level.padEnd(8)} ` +
    `${printable(message, false)}${rest.join('')}\n`
  );
}

/**
 * Returns text that can't move a terminal's cursor, because the text of a host may be hostile.
 */
function printable(value: unknown, quote = true): string {
  const text = JSON.stringify(value).replace(
    /[\u007f-\u009f]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
  return quote || typeof value !== 'string' ? text : text.slice(1, -1).replaceAll('\\"', '"');
}
