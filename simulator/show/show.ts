import { styleText } from 'node:util';
import { printable } from '../../runtime/text.ts';
import { formatStatus, poolName } from '../hosts/kvp-host.ts';
import type { LogLine } from '../stages/daemon.ts';
import type { Wire, WireMessage } from '../wire.ts';

/** What an administrator would see of the virtual machine. */
export interface AdminView {
  readonly services: readonly {
    readonly service: string;
    readonly wire: Wire;
    readonly agreed: string;
    readonly pid: number;
    readonly state: string;
  }[];
  /** The auto pool: what the guest says about itself. */
  readonly items: readonly { readonly key: string; readonly value: string }[];
  readonly pools: readonly {
    readonly wire: Wire;
    readonly pool: number;
    readonly items: readonly { readonly key: string; readonly value: string }[];
  }[];
}

/** Where the demonstration goes: a terminal, a file, a program. */
export interface Show {
  /** What happens next. */
  scene(title: string): void;
  say(text: string): void;
  wire(message: WireMessage): void;
  log(wire: Wire, line: LogLine): void;
  /** A command run in the guest, and what it printed. */
  guest(command: string, output: string): void;
  view(view: AdminView): void;
  /** How far a file has come. */
  progress(file: string, doneBytes: number, sizeBytes: number): void;
  result(what: string, error?: Error): void;
  /** The last word. */
  end(ok: boolean, text: string): void;
  close(): void;
}

type Write = (text: string) => void;

/** One JSON object a line. */
export function jsonShow(write: Write, nowMs: () => number): Show {
  const event = (name: string, fields: object): void =>
    write(
      `${JSON.stringify({ event: name, atMs: Math.round(nowMs() * 1000) / 1000, ...fields })}\n`,
    );
  return {
    scene: (title) => event('scene', { title }),
    say: (text) => event('note', { text }),
    wire: (message) => event('wire', message),
    log: (wire, line) => event('log', { wire, line }),
    guest: (command, output) => event('guest', { command, output }),
    view: (view) => event('view', view),
    progress: (file, doneBytes, sizeBytes) => event('progress', { file, doneBytes, sizeBytes }),
    result: (what, error) =>
      event('result', {
        what,
        ok: error === undefined,
        ...(error ? { error: error.message } : {}),
      }),
    end: (ok, text) => event('end', { ok, text }),
    close: () => {},
  };
}

export const WIRE_NAMES: Readonly<Record<Wire, string>> = { unix: 'device', 'unix-ring': 'ring' };

/** Messages shown of one scene; a thousand alike teach nobody. */
const MESSAGES_A_SCENE = 14;
const COLUMNS = 80;

/**
 * Lines for people; on a terminal in colour, with the administrator's view kept in place below
 * them.
 */
export function textShow(
  write: Write,
  nowMs: () => number,
  terminal:
    | { readonly columns: number; readonly rows: number; readonly colour: boolean }
    | undefined,
): Show {
  const columns = Math.max(40, terminal?.columns ?? COLUMNS);
  const paint = (style: Parameters<typeof styleText>[0], text: string): string =>
    terminal?.colour ? styleText(style, text) : text;
  const panel = terminal && new Panel(write, terminal.rows);
  const line = (text: string): void => (panel ? panel.print(text) : write(`${text}\n`));
  let shown = 0;
  let hidden = 0;
  let lastView = '';
  let lastQuarter = 0;

  const flushHidden = (): void => {
    if (hidden > 0) line(paint('dim', `         … ${hidden} more messages`));
    hidden = 0;
  };

  return {
    scene: (title) => {
      flushHidden();
      shown = 0;
      line(paint('bold', fit(`── ${title} `, columns, '─')));
    },
    say: (text) => {
      flushHidden();
      for (const row of wrap(printable(text), columns - 2)) line(`  ${row}`);
    },
    wire: (message) => {
      if (shown >= MESSAGES_A_SCENE) {
        hidden++;
        return;
      }
      shown++;
      line(wireLine(message, nowMs(), columns, paint));
    },
    log: (_, { level, message, ...fields }) => {
      // Information is for the journal; what a person should know shows here
      if (level === 'info' || level === 'debug') return;
      const detail = fields['error'] ?? fields['why'] ?? fields['reason'];
      const text = `daemon: ${message}${detail === undefined ? '' : ` (${detail})`}`;
      line(paint('yellow', cut(`         ${printable(text)}`, columns)));
    },
    guest: (command, output) => {
      flushHidden();
      line(paint('cyan', cut(`  guest$ ${printable(command)}`, columns)));
      for (const row of output.split('\n').filter((row) => row !== ''))
        line(cut(`  ${printable(row)}`, columns));
    },
    view: (view) => {
      const rows = viewRows(view, columns, paint);
      if (panel) return panel.show(rows);
      flushHidden();
      const text = rows.join('\n');
      if (text !== lastView) write(`${text}\n`);
      lastView = text;
    },
    progress: (file, doneBytes, sizeBytes) => {
      const row = progressRow(file, doneBytes, sizeBytes, columns);
      if (panel) return panel.showProgress(doneBytes === sizeBytes ? undefined : row);
      // A file, or a pipe, keeps every line: a few say as much
      const quarter = Math.floor((4 * doneBytes) / sizeBytes);
      if (quarter !== lastQuarter) line(row);
      lastQuarter = doneBytes === sizeBytes ? 0 : quarter;
    },
    result: (what, error) => {
      flushHidden();
      if (!error) return line(`  ${paint('green', 'ok')}      ${cut(what, columns - 10)}`);
      line(`  ${paint('red', 'FAILED')}  ${cut(what, columns - 10)}`);
      for (const row of error.message.split('\n')) line(`          ${printable(row)}`);
    },
    end: (ok, text) => {
      flushHidden();
      line(paint(ok ? 'green' : 'red', text));
    },
    close: () => {
      flushHidden();
      panel?.close();
    },
  };
}

/** "  1.234 device → enumerate   auto [5]                              7432 B" */
export function wireLine(
  message: WireMessage,
  nowMs: number,
  columns: number,
  paint: (style: 'dim' | 'red' | 'green' | 'blue', text: string) => string,
): string {
  const time = (nowMs / 1000).toFixed(3).padStart(8);
  const arrow = message.from === 'host' ? '→' : '←';
  const where = message.pool === undefined ? '' : `${poolName(message.pool)} `;
  const value = message.value === undefined ? '' : ` = ${message.value}`;
  const status = message.status === undefined ? '' : `${formatStatus(message.status)} `;
  const tail = `${status}${String(message.bytes).padStart(5)} B`;
  const head =
    `${time} ${WIRE_NAMES[message.wire].padEnd(6)} ${arrow} ` + `${message.operation.padEnd(10)} `;
  const what = fit(
    cut(
      printable(`${where}${message.subject ?? ''}${value}`),
      columns - head.length - tail.length - 1,
    ),
    columns - head.length - tail.length,
  );
  const bad = message.status !== undefined && message.status !== 0;
  const direction = paint(message.from === 'host' ? 'blue' : 'green', head.slice(16));
  return paint('dim', head.slice(0, 16)) + direction + what + (bad ? paint('red', tail) : tail);
}

const BAR_COLUMNS = 24;

/** "  [##########··············]  42 %    2.1 of   5.0 MiB  name" */
function progressRow(file: string, doneBytes: number, sizeBytes: number, columns: number): string {
  const part = doneBytes / sizeBytes;
  const bar = '#'.repeat(Math.round(part * BAR_COLUMNS)).padEnd(BAR_COLUMNS, '·');
  const mib = (bytes: number): string => (bytes / 2 ** 20).toFixed(1).padStart(5);
  const percent = String(Math.floor(part * 100)).padStart(3);
  return cut(
    `  [${bar}] ${percent} %  ${mib(doneBytes)} of ${mib(sizeBytes)} MiB  ${printable(file)}`,
    columns,
  );
}

const SHOWN_ITEMS = 4;

function viewRows(
  view: AdminView,
  columns: number,
  paint: (style: 'dim' | 'bold', text: string) => string,
): string[] {
  const rows = [paint('bold', fit('══ What the administrator sees ', columns, '═'))];
  rows.push(paint('dim', 'Integration service       Over    State                 Agreed on'));
  for (const { service, wire, agreed, state } of view.services) {
    rows.push(
      cut(
        `${service.padEnd(25)} ${WIRE_NAMES[wire].padEnd(7)} ${state.padEnd(21)} ${agreed}`,
        columns,
      ),
    );
  }
  rows.push(paint('dim', 'Guest item                  Value'));
  for (const { key, value } of view.items)
    rows.push(cut(`${key.padEnd(27)} ${printable(value) || '-'}`, columns));
  rows.push(paint('dim', 'Pool                   Over    Records'));
  for (const { wire, pool, items } of view.pools) {
    const shown = items.slice(-SHOWN_ITEMS).map(({ key, value }) => `${key}=${value}`);
    const mark = items.length > SHOWN_ITEMS ? ': … ' : items.length > 0 ? ': ' : '';
    const list = `${items.length}${mark}${shown.join(', ')}`;
    rows.push(
      cut(
        [
          `${poolName(pool)} (${pool})`.padEnd(22),
          WIRE_NAMES[wire].padEnd(7),
          printable(list),
        ].join(' '),
        columns,
      ),
    );
  }
  rows.push(fit('', columns, '═'));
  return rows;
}

/** Rows kept at the bottom of a terminal while lines scroll by above. */
class Panel {
  readonly #write: Write;
  readonly #maxRows: number;
  #rows: readonly string[] = [];
  #progress: string | undefined;
  #lines: string[] = [];
  #drawnRows = 0;
  #scheduled: NodeJS.Immediate | undefined;

  constructor(write: Write, terminalRows: number) {
    this.#write = write;
    this.#maxRows = Math.max(0, terminalRows - 4);
    // No wrapping, or the rows drawn would not be the rows there are
    write('\x1b[?7l\x1b[?25l');
  }

  print(line: string): void {
    this.#lines.push(line);
    this.#schedule();
  }

  show(rows: readonly string[]): void {
    this.#rows = rows.slice(0, this.#maxRows);
    this.#schedule();
  }

  /** A row above all others, until it is undefined. */
  showProgress(row: string | undefined): void {
    this.#progress = row;
    this.#schedule();
  }

  close(): void {
    this.#draw();
    this.#write('\x1b[?7h\x1b[?25h');
  }

  #schedule(): void {
    this.#scheduled ??= setImmediate(() => this.#draw());
  }

  #draw(): void {
    clearImmediate(this.#scheduled);
    this.#scheduled = undefined;
    const up = this.#drawnRows > 0 ? `\x1b[${this.#drawnRows}A\r\x1b[J` : '';
    const kept = this.#progress === undefined ? this.#rows : [this.#progress, ...this.#rows];
    this.#write(up + [...this.#lines, ...kept].map((row) => `${row}\n`).join(''));
    this.#lines = [];
    this.#drawnRows = kept.length;
  }
}

/** At most `columns` characters, with a mark where something is missing. */
function cut(text: string, columns: number): string {
  const characters = [...text];
  return characters.length <= columns
    ? text
    : `${characters.slice(0, Math.max(0, columns - 1)).join('')}…`;
}

const fit = (text: string, columns: number, fill = ' '): string =>
  text + fill.repeat(Math.max(0, columns - [...text].length));

function wrap(text: string, columns: number): string[] {
  const rows: string[] = [];
  let row = '';
  for (const word of text.split(' ')) {
    if (row !== '' && row.length + 1 + word.length > columns) {
      rows.push(row);
      row = word;
    } else row = row === '' ? word : `${row} ${word}`;
  }
  rows.push(row);
  return rows;
}
