import fs from 'node:fs';
import type { DestinationStream } from 'pino';

/** syslog(3) severities, which journald takes as PRIORITY. */
export const SEVERITIES = {
  critical: 2,
  error: 3,
  warning: 4,
  notice: 5,
  info: 6,
  debug: 7,
} as const;
export type Severity = keyof typeof SEVERITIES;

export type Fields = Readonly<Record<string, unknown>>;

/** One line each: a sentence for people, and fields for machines. */
export type Log = { readonly [S in Severity]: (message: string, fields?: Fields) => void };

/** Keeps a log from writing for a while, as when its reader's disk is frozen. */
export interface LogHold {
  /**
   * From now on lines stay in memory, with their time. Resolves when those before are written, or
   * nobody took them in time.
   */
  hold(): Promise<void>;
  /** Writes what was kept, and how much had no room (MAX_WAITING_BYTES). */
  release(): void;
}

/** A log that owns its output. */
export interface RootLog extends Log, LogHold {
  setLevel(level: Severity): void;
  /** Between `hold` and `release`. */
  readonly isHeld: boolean;
  /**
   * Writes out what is still in memory, and takes no more lines. False: nobody took it in time, and
   * a thread is stuck in writing.
   */
  close(): Promise<boolean>;
}

export type LogFormat = 'json' | 'journal' | 'terminal';

type Entry = readonly [
  severity: Severity,
  timeMs: number,
  message: string,
  fields: Fields | undefined,
];

/**
 * What may wait in memory when nobody reads our output, and as much again while it is held; further
 * lines are dropped and counted.
 */
const MAX_WAITING_BYTES = 1 << 20;
const MAX_EARLY_ENTRIES = 1000;
const MAX_HELD_ENTRIES = 10_000;
/**
 * How long the last lines may take: a reader that stalls must not keep the process from ending, or
 * a backup from its beginning.
 */
const CLOSE_LIMIT_MS = 1000;

/** Under systemd the journal; a person's terminal; otherwise plain JSON lines. */
export function detectFormat(): LogFormat {
  if (onTerminal()) return 'terminal';
  return toJournal() ? 'journal' : 'json';
}

/**
 * Whether $JOURNAL_STREAM speaks of our standard error (systemd.exec(5)): children and redirections
 * inherit the variable, too.
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
 * Not `process.stderr.isTTY`, which loads Node's streams and network modules: 2 MB for an answer
 * that /proc has.
 */
function onTerminal(): boolean {
  try {
    return /^\/dev\/(pts\/|tty|console)/.test(fs.readlinkSync('/proc/self/fd/2'));
  } catch {
    return false;
  }
}

/**
 * A log on standard error, in JSON lines by pino. Writing never blocks the event loop: a reader
 * that stalls costs lines, not answers. pino is loaded with the first line, off the path from start
 * to registration; lines before it is there keep their time.
 */
export function createLog(
  name: string,
  level: Severity,
  format: LogFormat = detectFormat(),
): RootLog {
  let threshold: number = SEVERITIES[level];
  let early: Entry[] | undefined;
  let loading: Promise<void> | undefined;
  let output: Awaited<ReturnType<typeof openPino>> | undefined;
  let held: { readonly entries: Entry[]; bytes: number } | undefined;
  let lost = 0;

  const emit = (entry: Entry): void => {
    const [severity, timeMs, message, fields] = entry;
    output!.logger[severity](
      { time: new Date(timeMs).toISOString(), ...serializable(fields) },
      message,
    );
  };
  const load = async (): Promise<void> => {
    output = await openPino(name, format, () => lost++);
    const waiting = early ?? [];
    early = undefined;
    for (const entry of waiting) emit(entry);
  };
  const write = (severity: Severity, message: string, fields?: Fields): void => {
    if (SEVERITIES[severity] > threshold) return;
    pass([severity, Date.now(), message, fields]);
  };
  const pass = (entry: Entry): void => {
    if (held) {
      keep(held, entry);
      return;
    }
    if (output) {
      if (lost > 0) {
        const count = lost;
        lost = 0;
        emit([
          'warning',
          Date.now(),
          `${count} log lines were dropped because nobody read them`,
          undefined,
        ]);
      }
      emit(entry);
      return;
    }
    early ??= [];
    if (early.length < MAX_EARLY_ENTRIES) early.push(entry);
    else lost++;
    loading ??= load();
  };
  const keep = (into: NonNullable<typeof held>, entry: Entry): void => {
    const [, , message, fields] = entry;
    const bytes = message.length + JSON.stringify(serializable(fields)).length;
    if (into.bytes + bytes > MAX_WAITING_BYTES || into.entries.length >= MAX_HELD_ENTRIES) {
      lost++;
      return;
    }
    into.bytes += bytes;
    into.entries.push(entry);
  };
  const release = (): void => {
    const kept = held?.entries ?? [];
    held = undefined;
    for (const entry of kept) pass(entry);
  };
  return {
    ...levels(write),
    setLevel(next) {
      threshold = SEVERITIES[next];
    },
    get isHeld() {
      return held !== undefined;
    },
    async hold() {
      held ??= { entries: [], bytes: 0 };
      await loading;
      await output?.drained();
    },
    release,
    async close() {
      release();
      await loading;
      threshold = -1;
      return (await output?.finish()) ?? true;
    },
  };
}

/** A log from one function, so that each severity need not be written out. */
export function levels(write: (severity: Severity, message: string, fields?: Fields) => void): Log {
  const log: Partial<Record<Severity, Log[Severity]>> = {};
  for (const severity of Object.keys(SEVERITIES) as Severity[]) {
    log[severity] = (message, fields) => write(severity, message, fields);
  }
  return log as Log;
}

async function openPino(name: string, format: LogFormat, onDrop: () => void) {
  const { default: pino } = await import('pino');
  const destination = pino.destination({ dest: 2, sync: false, maxLength: MAX_WAITING_BYTES });
  destination.on('drop', onDrop);
  let broken = false;
  let writing = false;
  // EPIPE and the like: there is nowhere left to say it
  destination.on('error', () => {
    broken = true;
  });
  // Comes whenever nothing waits any more
  destination.on('drain', () => {
    writing = false;
  });
  const decorated: DestinationStream = {
    write(line) {
      writing = true;
      destination.write(format === 'json' ? line : decorate(line, format));
    },
  };
  const logger = pino<Severity>(
    {
      base: { name, pid: process.pid },
      customLevels: pinoLevels,
      useOnlyCustomLevels: true,
      level: 'debug',
      timestamp: false,
      messageKey: 'message',
      formatters: { level: (label) => ({ level: label, priority: SEVERITIES[label as Severity] }) },
    },
    decorated,
  );
  // Not flushSync, which waits for a stalled reader for ever
  const finish = (): Promise<boolean> =>
    new Promise((resolve) => {
      if (broken) return resolve(true);
      const timer = setTimeout(resolve, CLOSE_LIMIT_MS, false);
      const done = (): void => {
        clearTimeout(timer);
        resolve(true);
      };
      destination.on('close', done).on('error', done);
      destination.end();
    });
  const drained = (): Promise<void> =>
    new Promise((resolve) => {
      if (broken || !writing) return resolve();
      const done = (): void => {
        clearTimeout(timer);
        destination.off('drain', done).off('error', done);
        resolve();
      };
      const timer = setTimeout(done, CLOSE_LIMIT_MS);
      destination.on('drain', done).on('error', done);
    });
  return { logger, finish, drained };
}

/** pino sorts upwards by number, syslog downwards. */
const pinoLevels = Object.fromEntries(
  Object.entries(SEVERITIES).map(([severity, priority]) => [severity, (8 - priority) * 10]),
) as Record<Severity, number>;

/** One JSON line as the journal wants it ("<3>" first: sd-daemon(3)), or as a person reads it. */
export function decorate(line: string, format: Exclude<LogFormat, 'json'>): string {
  const { level, priority, time, name, pid: _, message, ...fields } = JSON.parse(line);
  if (format === 'journal') return `<${priority}>${line}`;
  const rest = Object.entries(fields).map(([key, value]) => ` ${key}=${printable(value)}`);
  return (
    `${time.slice(11, 23)} ${name} ${level.padEnd(8)} ` +
    `${printable(message, false)}${rest.join('')}\n`
  );
}

/** Text that cannot move a terminal's cursor: what comes from a host may be hostile. */
function printable(value: unknown, quote = true): string {
  const text = JSON.stringify(value).replace(
    /[\u007f-\u009f]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
  return quote || typeof value !== 'string' ? text : text.slice(1, -1).replaceAll('\\"', '"');
}

/** Errors as text, bigints as decimal: what JSON can carry. */
function serializable(fields: Fields | undefined): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(fields ?? {})) {
    out[key] =
      value instanceof Error ? value.message : typeof value === 'bigint' ? value.toString() : value;
  }
  return out;
}

/** Clock in milliseconds that never goes back. */
export type MonotonicMs = () => number;

/**
 * Read twice for each request: not `performance.now()`, with which Node loads all of perf_hooks,
 * nor `process.uptime()`, twice as slow.
 */
export const monotonicMs: MonotonicMs = () => {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1000 + nanoseconds / 1e6;
};

/**
 * A burst of lines of one kind, then one line for each interval that says how many it stands for.
 */
export const HOST_LOG_BURST = 5;
export const HOST_LOG_INTERVAL_MS = 10_000;

/**
 * The same log for what a host can trigger at will. The kind of a line is its message: put what
 * varies into the fields.
 */
export function limitLog(log: Log, now: MonotonicMs = monotonicMs): Log {
  const kinds = new Map<string, { tokens: number; last: number; suppressed: number }>();
  return levels((severity, message, fields) => {
    const at = now();
    let kind = kinds.get(message);
    if (!kind) {
      // The messages are our own constants, so the map stays small; a mistake must not turn into a
      // leak
      if (kinds.size >= 256) kinds.clear();
      kind = { tokens: HOST_LOG_BURST, last: at, suppressed: 0 };
      kinds.set(message, kind);
    }
    const refill = Math.floor((at - kind.last) / HOST_LOG_INTERVAL_MS);
    if (refill > 0) {
      kind.tokens = Math.min(HOST_LOG_BURST, kind.tokens + refill);
      kind.last += refill * HOST_LOG_INTERVAL_MS;
    }
    if (kind.tokens === 0) {
      kind.suppressed++;
      return;
    }
    kind.tokens--;
    const suppressed = kind.suppressed;
    kind.suppressed = 0;
    log[severity](message, suppressed > 0 ? { ...fields, suppressedBefore: suppressed } : fields);
  });
}

/** Last words when the event loop can't be used any more. */
export function lastWords(name: string, severity: Severity, message: string): void {
  try {
    const prefix = detectFormat() === 'journal' ? `<${SEVERITIES[severity]}>` : '';
    fs.writeSync(
      2,
      `${prefix}${JSON.stringify({ level: severity, priority: SEVERITIES[severity], name, message })}\n`,
    );
  } catch {
    // Nobody listens
  }
}
