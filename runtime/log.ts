import { detectFormat, type LogFormat } from './log/format.ts';
import { MAX_WAITING_BYTES, type Output, openOutput } from './log/output.ts';
import { SEVERITIES, type Severity } from './log/severity.ts';

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
  /** Writes the lines that were kept, and says how many had no room (MAX_WAITING_BYTES). */
  release(): void;
}

/** A log that owns its output. */
export interface RootLog extends Log, LogHold {
  setLevel(level: Severity): void;
  /** Between `hold` and `release`. */
  readonly isHeld: boolean;
  /**
   * Writes what is still in memory, and takes no more lines. False: nobody took it in time, and a
   * thread is stuck in writing.
   */
  close(): Promise<boolean>;
}

interface Entry {
  readonly severity: Severity;
  readonly timeMs: number;
  readonly message: string;
  readonly fields: Fields | undefined;
}

const MAX_EARLY_ENTRIES = 1000;
const MAX_HELD_ENTRIES = 10_000;

/** Where the lines of a log go. */
type Destination =
  /** There was no line yet. */
  | { readonly is: 'unopened' }
  | { readonly is: 'opening'; readonly early: Entry[]; readonly opened: Promise<void> }
  | { readonly is: 'open'; readonly output: Output };

/** Lines that are kept between `hold` and `release`. */
interface Kept {
  readonly entries: Entry[];
  bytes: number;
}

/**
 * Returns a log on standard error, in JSON lines by pino. Writing never blocks the event loop: a
 * reader that stalls costs lines, not answers. The first line loads pino, so that the way from
 * start to registration does not. Lines before pino is there keep their time.
 */
export function createLog(
  name: string,
  level: Severity,
  format: LogFormat = detectFormat(),
): RootLog {
  const writer = new LineWriter(name, level, format);
  return Object.assign(
    writer,
    levels((severity, message, fields) => writer.write(severity, message, fields)),
  );
}

class LineWriter implements Omit<RootLog, Severity> {
  readonly #name: string;
  readonly #format: LogFormat;
  #threshold: number;
  #destination: Destination = { is: 'unopened' };
  #kept: Kept | undefined;
  /** Lines dropped since the last line that says so. */
  #lost = 0;

  constructor(name: string, level: Severity, format: LogFormat) {
    this.#name = name;
    this.#format = format;
    this.#threshold = SEVERITIES[level];
  }

  setLevel(level: Severity): void {
    this.#threshold = SEVERITIES[level];
  }

  get isHeld(): boolean {
    return this.#kept !== undefined;
  }

  write(severity: Severity, message: string, fields?: Fields): void {
    if (SEVERITIES[severity] > this.#threshold) return;
    const entry = { severity, timeMs: Date.now(), message, fields };
    if (this.#kept) this.#keep(this.#kept, entry);
    else this.#pass(entry);
  }

  async hold(): Promise<void> {
    this.#kept ??= { entries: [], bytes: 0 };
    await (await this.#opened())?.drained();
  }

  release(): void {
    const entries = this.#kept?.entries ?? [];
    this.#kept = undefined;
    for (const entry of entries) this.#pass(entry);
  }

  async close(): Promise<boolean> {
    this.release();
    const output = await this.#opened();
    this.#threshold = -1;
    return (await output?.finish()) ?? true;
  }

  #keep(kept: Kept, entry: Entry): void {
    const bytes = entry.message.length + JSON.stringify(serializable(entry.fields)).length;
    if (kept.bytes + bytes > MAX_WAITING_BYTES || kept.entries.length >= MAX_HELD_ENTRIES) {
      this.#lost++;
      return;
    }
    kept.bytes += bytes;
    kept.entries.push(entry);
  }

  #pass(entry: Entry): void {
    const destination = this.#destination;
    switch (destination.is) {
      case 'unopened':
        this.#destination = { is: 'opening', early: [entry], opened: this.#open() };
        return;
      case 'opening':
        if (destination.early.length < MAX_EARLY_ENTRIES) destination.early.push(entry);
        else this.#lost++;
        return;
      case 'open':
        if (this.#lost > 0) {
          const message = `${this.#lost} log lines were dropped because nobody read them`;
          this.#lost = 0;
          emit(destination.output, {
            severity: 'warning',
            timeMs: Date.now(),
            message,
            fields: undefined,
          });
        }
        emit(destination.output, entry);
    }
  }

  async #open(): Promise<void> {
    const output = await openOutput(this.#name, this.#format, () => this.#lost++);
    const before = this.#destination;
    this.#destination = { is: 'open', output };
    if (before.is === 'opening') for (const entry of before.early) emit(output, entry);
  }

  /** Resolves to the output, once a line has asked for one; undefined when no line did. */
  async #opened(): Promise<Output | undefined> {
    if (this.#destination.is === 'opening') await this.#destination.opened;
    return this.#destination.is === 'open' ? this.#destination.output : undefined;
  }
}

function emit({ logger }: Output, { severity, timeMs, message, fields }: Entry): void {
  logger[severity]({ time: new Date(timeMs).toISOString(), ...serializable(fields) }, message);
}

/** Returns errors as text and bigints as decimal, because JSON can't carry them. */
function serializable(fields: Fields | undefined): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(fields ?? {})) {
    out[key] =
      value instanceof Error ? value.message : typeof value === 'bigint' ? value.toString() : value;
  }
  return out;
}

/** Returns a log from one function, so that a caller need not write out each severity. */
export function levels(write: (severity: Severity, message: string, fields?: Fields) => void): Log {
  const log: Partial<Record<Severity, Log[Severity]>> = {};
  for (const severity of Object.keys(SEVERITIES) as Severity[]) {
    log[severity] = (message, fields) => write(severity, message, fields);
  }
  return log as Log;
}
