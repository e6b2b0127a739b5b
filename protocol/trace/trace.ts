/**
 * Recorded traffic as text: one packet a line, so that a recording can be read, searched and
 * compared. fixtures/FORMAT.md describes the format.
 */
export interface Trace {
  /** `# key: value` lines before the first packet, in order. */
  readonly header: readonly (readonly [key: string, value: string])[];
  readonly entries: readonly TraceEntry[];
}

export type TraceEntry = TracePacket | TraceNote;

export interface TracePacket {
  readonly kind: 'packet';
  /** From host to guest, or from guest to host. */
  readonly direction: 'h2g' | 'g2h';
  /** Since the previous packet. */
  readonly delayMs: number;
  /** The packet's, as in its descriptor. */
  readonly transactionId: bigint;
  /** From the pipe header on, padded to 8 bytes as in the ring. */
  readonly payload: Uint8Array;
}

export interface TraceNote {
  readonly kind: 'note';
  readonly text: string;
}

/** Text that is no trace. The message starts with `line N`. */
export class TraceError extends Error {
  override readonly name = 'TraceError';
  /** From 1. */
  readonly line: number;

  constructor(line: number, problem: string) {
    super(`line ${line}: ${problem}`);
    this.line = line;
  }
}

/** A VMBus packet's length is a u16 in 8-byte units. */
const MAX_PAYLOAD_BYTES = 0xffff * 8;
/** Zeros in a row from here on are written as `(00*N)` when asked for. */
const ZERO_RUN_BYTES = 16;

/** Throws TraceError. */
export function parseTrace(text: string): Trace {
  const header: [string, string][] = [];
  const entries: TraceEntry[] = [];
  const lines = text.split('\n');
  if (lines.at(-1) === '') lines.pop();
  for (const [i, line] of lines.entries()) {
    const fail = (problem: string): never => {
      throw new TraceError(i + 1, problem);
    };
    if (!line.startsWith('#')) {
      entries.push(parsePacket(line, fail));
      continue;
    }
    const match = /^# ([a-z][a-z0-9-]*): (.*)$/.exec(line);
    if (!match) return fail('expected "# key: value"');
    const [, key, value] = match as unknown as [string, string, string];
    if (key === 'note') entries.push({ kind: 'note', text: value });
    else if (entries.length > 0) fail(`"${key}" belongs before the first packet`);
    else if (header.some(([earlier]) => earlier === key)) fail(`"${key}" is there twice`);
    else header.push([key, value]);
  }
  return { header, entries };
}

function parsePacket(line: string, fail: (problem: string) => never): TracePacket {
  const fields = line.split(' ');
  if (fields.length !== 4)
    fail(
      `expected direction, milliseconds, transaction id and payload, got ${fields.length} fields`,
    );
  const [direction, delay, id, payload] = fields as [string, string, string, string];
  if (direction !== 'h2g' && direction !== 'g2h')
    return fail(`direction: expected h2g or g2h, got ${quote(direction)}`);
  const delayMs = /^\d+$/.test(delay) ? Number(delay) : Number.NaN;
  if (!Number.isSafeInteger(delayMs))
    fail(`milliseconds: expected a whole number, got ${quote(delay)}`);
  const transactionId = /^[0-9a-f]+$/.test(id) && id.length <= 16 ? BigInt(`0x${id}`) : undefined;
  if (transactionId === undefined)
    return fail(`transaction id: expected up to 16 hex digits, got ${quote(id)}`);
  return {
    kind: 'packet',
    direction,
    delayMs,
    transactionId,
    payload: parsePayload(payload, fail),
  };
}

const quote = (text: string): string =>
  JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text);

function parsePayload(text: string, fail: (problem: string) => never): Uint8Array {
  // First the length, so that a run of zeros can't ask for more memory than a packet has
  const parts = text.split(/(\(00\*\d+\))/).map((part) => {
    const zeros = /^\(00\*(\d{1,7})\)$/.exec(part);
    if (zeros) return Number(zeros[1]);
    if (!/^(?:[0-9a-f]{2})*$/.test(part))
      fail(`payload: expected pairs of hex digits and (00*N), got ${quote(part)}`);
    return part;
  });
  const length = parts.reduce<number>(
    (sum, part) => sum + (typeof part === 'number' ? part : part.length / 2),
    0,
  );
  if (length === 0) fail('payload: empty');
  if (length > MAX_PAYLOAD_BYTES)
    fail(`payload: a packet has at most ${MAX_PAYLOAD_BYTES} bytes, got ${length}`);
  const payload = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    if (typeof part === 'number') {
      at += part;
      continue;
    }
    for (let i = 0; i < part.length; i += 2)
      payload[at++] = Number.parseInt(part.slice(i, i + 2), 16);
  }
  return payload;
}

/**
 * `zeroRuns`: long runs of zero bytes as `(00*N)`; without it the payload is plain hex. Throws
 * TraceError for what would not parse again.
 */
export function printTrace(trace: Trace, options: { readonly zeroRuns?: boolean } = {}): string {
  const lines = [
    ...trace.header.map(([key, value]) => `# ${key}: ${value}`),
    ...trace.entries.map((entry) => printTraceEntry(entry, options)),
  ];
  const bad = lines.findIndex((line) => line.includes('\n'));
  if (bad >= 0) throw new TraceError(bad + 1, 'text with a line break');
  return lines.map((line) => `${line}\n`).join('');
}

/** One entry without its line break, for traces written as they happen. */
export function printTraceEntry(
  entry: TraceEntry,
  options: { readonly zeroRuns?: boolean } = {},
): string {
  if (entry.kind === 'note') return `# note: ${entry.text}`;
  const { direction, delayMs, transactionId } = entry;
  return (
    `${direction} ${delayMs} ${transactionId.toString(16)} ` +
    `${printPayload(entry.payload, options.zeroRuns ?? false)}`
  );
}

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));

function printPayload(payload: Uint8Array, zeroRuns: boolean): string {
  let text = '';
  for (let at = 0; at < payload.length; ) {
    let end = at;
    while (zeroRuns && end < payload.length && payload[end] === 0) end++;
    if (end - at >= ZERO_RUN_BYTES) {
      text += `(00*${end - at})`;
      at = end;
    } else text += HEX[payload[at++]!];
  }
  return text;
}
