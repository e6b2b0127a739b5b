/**
 * KVP beside Debian's C daemon, in one run: both behind /dev/vmbus/hv_kvp (a socket, through the
 * preload shim), pinned, in alternating rounds. Prints medians and ratios; asserts no times. Exit
 * status 1: a daemon gave a wrong answer.
 *
 * "one core" is the daemon's own cost: driver and daemon take turns. On "two cores" waking the
 * other core costs more than either daemon. Enumerating all of 10,000 is the mean of one walk, all
 * else a median.
 *
 * usage: npm run bench -- kvp [--json] [--quick]
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { poolFileName, RECORD_BYTES } from '../daemons/kvp/pools/index.ts';
import { KEY_FIELD_BYTES } from '../protocol/kvp/sizes.ts';
import {
  compile,
  findCDaemon,
  missingReference,
  ownDaemon,
  preloadSource,
  shimmed,
} from '../test/compat/reference.ts';
import { type Cores, Driver, type DriverOptions, type OperationResult } from './driver.ts';

const { values: options } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    quick: { type: 'boolean', default: false },
  },
});
const quick = options.quick;
const ROUNDS = quick ? 3 : 7;
const scale = (repeats: number): number => (quick ? Math.max(2, Math.round(repeats / 5)) : repeats);

type Name = 'vmic' | 'c';
const NAMES: readonly Name[] = ['vmic', 'c'];

interface Row {
  readonly what: string;
  readonly where: string;
  readonly unit: 'ns' | 'KiB';
  readonly vmic: number;
  /** The C daemon, or what else ours is compared with. */
  readonly other: number | undefined;
  readonly otherName: string;
  readonly ratio: number | undefined;
  /** The ratio aimed at; undefined where there is no aim. */
  readonly target: number | undefined;
  readonly note: string | undefined;
}

const rows: Row[] = [];
const wrong: string[] = [];
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'vmic-bench-'));

const median = (numbers: readonly number[]): number =>
  [...numbers].sort((a, b) => a - b)[numbers.length >> 1]!;
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const key = (index: number): string => `key${String(index).padStart(6, '0')}`;
const valueFor = (index: number): string => `value of ${key(index)}`;
const progress = (text: string): boolean => process.stderr.write(`${text}\n`);

function add(
  what: string,
  where: string,
  unit: Row['unit'],
  vmic: number,
  other: number | undefined,
  extra: { target?: number; note?: string; otherName?: string } = {},
): void {
  const ratio = other === undefined ? undefined : vmic / other;
  rows.push({
    ...{ what, where, unit, vmic, other, ratio },
    ...{ otherName: extra.otherName ?? 'C daemon', target: extra.target, note: extra.note },
  });
}

/** Writes a pool file of `count` records: keys of 512 bytes, values of 2,048. */
function fill(poolFolder: string, pool: number, count: number): void {
  const bytes = Buffer.alloc(count * RECORD_BYTES);
  for (let i = 0; i < count; i++) {
    bytes.write(key(i), i * RECORD_BYTES);
    bytes.write(valueFor(i), i * RECORD_BYTES + KEY_FIELD_BYTES);
  }
  fs.mkdirSync(poolFolder, { recursive: true });
  fs.writeFileSync(path.join(poolFolder, poolFileName(pool)), bytes);
}

let serial = 0;
function daemon(name: Name, cores: Cores, poolFolder: string): Promise<Driver> {
  const socketPath = path.join(folder, `device-${serial++}`);
  const command =
    name === 'c'
      ? [findCDaemon()!, '-n']
      : [process.execPath, ownDaemon, '-n', '--set', `kvp.pool_directory=${poolFolder}`];
  return Driver.start({ command, env: shimmed(socketPath, poolFolder), socketPath, cores });
}

function echo(cores: Cores): Promise<Driver> {
  const socketPath = path.join(folder, `device-${serial++}`);
  const program = compile(path.join(import.meta.dirname, 'driver/echo.c'), 'program');
  return Driver.start({ command: [program], env: shimmed(socketPath, folder), socketPath, cores });
}

function expect(
  who: string,
  what: string,
  got: OperationResult,
  want: { key?: string; value?: string },
): void {
  const say = (text: string) => wrong.push(`${who}: ${what}: ${text}`);
  if (got.status !== 0) say(`status 0x${got.status.toString(16)}`);
  if (got.differing > 0) say(`${got.differing} replies differ from the first`);
  if (want.key !== undefined && got.key !== want.key) say(`key ${got.key}, expected ${want.key}`);
  if (want.value !== undefined && got.value !== want.value)
    say(`value ${got.value}, expected ${want.value}`);
}

interface Measurement {
  readonly what: string;
  readonly target?: number;
  readonly note?: string;
  /** Requests one figure stands for, where it is more than one. */
  readonly messages?: number;
  run(driver: Driver, name: Name): Promise<number>;
}

const AUTO_INDEXES = Array.from({ length: 10 }, (_, index) => index);
const OS_NAME = 5;
const SAMPLE_STEP = quick ? 500 : 200;

/** One operation, or one of several in turn, measured by its own median. */
function one(
  what: string,
  repeats: number,
  operations: readonly string[],
  pick: number,
  want: (name: Name) => { key?: string; value?: string },
  extra: { target?: number; note?: string } = {},
): Measurement {
  return {
    what,
    ...extra,
    run: async (driver, name) => {
      const result = await driver.time(scale(repeats), ...operations);
      for (const operation of result.operations) expect(name, what, operation, {});
      expect(name, what, result.operations[pick]!, want(name));
      return result.operations[pick]!.medianNs;
    },
  };
}

const nothing = () => ({});

const measurements: readonly Measurement[] = [
  one('round trip, static key', 5000, [`enum:2:${OS_NAME}`], 0, () => ({ key: 'OSName' }), {
    target: 1.25,
  }),
  one(
    'get, 20 records',
    1000,
    [`get:0:${key(10)}`],
    0,
    (name) => (name === 'vmic' ? { value: valueFor(10) } : {}),
    {
      target: 1,
      note: 'the C daemon answers every get with an empty value',
    },
  ),
  one(
    'enumerate one, 20 records',
    1000,
    ['enum:0:10'],
    0,
    () => ({ key: key(10), value: valueFor(10) }),
    {
      target: 1,
    },
  ),
  one(
    'delete the last of 20',
    500,
    [`del:0:${key(19)}`, `set:0:${key(19)}=${key(19)}`],
    0,
    nothing,
    { target: 1 },
  ),
  one(
    'set a new key, 20 records',
    500,
    [`del:0:${key(19)}`, `set:0:${key(19)}=${key(19)}`],
    1,
    nothing,
    { target: 1 },
  ),
  one('set a key again, 20 records', 500, [`set:0:${key(7)}=a`, `set:0:${key(7)}=bc`], 1, nothing, {
    target: 1,
  }),
  one(
    'set a key again, 10,000 records',
    10,
    [`set:3:${key(5000)}=a`, `set:3:${key(5000)}=bc`],
    1,
    nothing,
    {
      target: 0.02,
    },
  ),
  {
    what: 'enumerate all of 10,000 records',
    messages: 10_000,
    target: 0.01,
    note: `the C daemon's figure is scaled from every ${SAMPLE_STEP}th index`,
    run: async (driver, name) => {
      const walk = await driver.walk(3, 10_000, name === 'c' ? SAMPLE_STEP : 1);
      if (walk.wrong > 0) wrong.push(`${name}: enumerate 10,000: ${walk.wrong} wrong replies`);
      return (walk.totalNs / walk.asked) * 10_000;
    },
  },
];

async function roundTrips(where: string, cores: Cores): Promise<void> {
  const drivers = new Map<Name, Driver>();
  for (const name of NAMES) {
    const pools = path.join(folder, `pools-${name}-${cores.driver}`);
    fill(pools, 0, 20);
    fill(pools, 3, 10_000);
    drivers.set(name, await daemon(name, cores, pools));
  }
  const floor = await echo(cores);
  const figures = new Map<string, number[]>();
  const record = (id: string, ns: number) => {
    const list = figures.get(id) ?? [];
    list.push(ns);
    figures.set(id, list);
  };
  const autoKeys = AUTO_INDEXES.map((index) => `enum:2:${index}`);
  let autoNames: readonly (string | undefined)[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    progress(`${where}: round ${round + 1} of ${ROUNDS}`);
    // A B, then B A: whatever drifts meets both
    const order = round % 2 === 0 ? NAMES : [...NAMES].reverse();
    record('floor', (await floor.time(scale(5000), `enum:2:${OS_NAME}`)).medianNs);
    for (const measurement of measurements) {
      for (const name of order)
        record(`${measurement.what}/${name}`, await measurement.run(drivers.get(name)!, name));
    }
    for (const name of order) {
      const result = await drivers.get(name)!.time(scale(200), ...autoKeys);
      for (const [index, operation] of result.operations.entries()) {
        expect(name, `auto key ${index}`, operation, {});
        record(`auto ${index}/${name}`, operation.medianNs);
      }
      record(`auto/${name}`, result.medianNs);
      const names = result.operations.map((operation) => operation.key);
      if (autoNames.length > 0 && autoNames.join() !== names.join()) {
        wrong.push(`auto keys differ: ${autoNames.join()} and ${names.join()}`);
      }
      autoNames = names;
    }
  }
  const at = (id: string) => median(figures.get(id)!);
  add('floor: a program that only echoes', where, 'ns', at('floor'), undefined);
  for (const { what, target, note, messages } of measurements) {
    // The way there and back, which no daemon can make shorter
    const echoes =
      messages &&
      `${messages.toLocaleString('en')} bare echoes take ${figure(at('floor') * messages, 'ns')}`;
    const notes = [note, echoes].filter(Boolean).join('; ');
    add(what, where, 'ns', at(`${what}/vmic`), at(`${what}/c`), {
      ...(target && { target }),
      ...(notes && { note: notes }),
    });
  }
  for (const index of AUTO_INDEXES) {
    add(
      `auto key ${autoNames[index]}`,
      where,
      'ns',
      at(`auto ${index}/vmic`),
      at(`auto ${index}/c`),
    );
  }
  add('all ten auto keys', where, 'ns', at('auto/vmic'), at('auto/c'), { target: 1 });
  for (const driver of [...drivers.values(), floor]) await driver.end();
}

/** Ours from 0 to 50,000 records by sets, and both at 50,000. */
async function growth(cores: Cores): Promise<void> {
  progress('growth to 50,000 records');
  const pools = path.join(folder, 'pools-growth');
  fs.mkdirSync(pools);
  const own = await daemon('vmic', cores, pools);
  const at = new Map<number, { grow: number; walk: number; set: number }>();
  let grown = 0;
  for (const size of [10_000, 20_000, 50_000]) {
    const grow = await own.grow(0, grown, size - grown);
    const walk = await own.walk(0, size, 1);
    const set = await own.time(
      scale(200),
      `set:0:${key(size >> 1)}=a`,
      `set:0:${key(size >> 1)}=bc`,
    );
    if (grow.wrong + walk.wrong > 0)
      wrong.push(`vmic: growth to ${size}: ${grow.wrong} sets, ${walk.wrong} replies wrong`);
    for (const operation of set.operations) expect('vmic', `set at ${size}`, operation, {});
    at.set(size, {
      grow: grow.totalNs / grow.asked,
      walk: walk.totalNs / walk.asked,
      set: set.operations[1]!.medianNs,
    });
    grown = size;
  }
  const first = at.get(10_000)!;
  for (const [size, figure] of at) {
    const note = { otherName: 'ours to 10,000' };
    const count = size.toLocaleString('en');
    add(`a record more, up to ${count}`, 'growth', 'ns', figure.grow, first.grow, note);
    add(`enumerate one of ${count}`, 'growth', 'ns', figure.walk, first.walk, note);
    add(`set a key again at ${count}`, 'growth', 'ns', figure.set, first.set, note);
  }
  await own.end();

  const figures = new Map<Name, { rssKiB: number; enumerate: number; set: number }>();
  for (const name of NAMES) {
    const full = path.join(folder, `pools-full-${name}`);
    fill(full, 0, 50_000);
    const driver = await daemon(name, cores, full);
    const repeats = name === 'c' ? 3 : scale(200);
    const enumerate = await driver.time(repeats, 'enum:0:49999');
    const set = await driver.time(repeats, `set:0:${key(25_000)}=a`, `set:0:${key(25_000)}=bc`);
    expect(name, 'enumerate at 50,000', enumerate.operations[0]!, { key: key(49_999) });
    for (const operation of set.operations) expect(name, 'set at 50,000', operation, {});
    figures.set(name, {
      rssKiB: driver.memory().rssKiB,
      enumerate: enumerate.medianNs,
      set: set.operations[1]!.medianNs,
    });
    await driver.end();
    fs.rmSync(full, { recursive: true });
  }
  const [own50, c50] = [figures.get('vmic')!, figures.get('c')!];
  add('enumerate one of 50,000', 'growth', 'ns', own50.enumerate, c50.enumerate, { target: 1 });
  add('set a key again at 50,000', 'growth', 'ns', own50.set, c50.set, { target: 1 });
  add('Rss at 50,000 records', 'growth', 'KiB', own50.rssKiB, c50.rssKiB, { target: 1 });
}

/** Start and memory at rest, beside the C daemon and beside a Node that does nothing. */
async function startAndMemory(cores: Cores): Promise<void> {
  progress('start and memory');
  const kinds = ['vmic', 'c', 'node'] as const;
  const starts = new Map<string, number[]>(kinds.map((kind) => [kind, []]));
  const memories = new Map<string, { rssKiB: number; pssKiB: number; threads: number }[]>(
    kinds.map((kind) => [kind, []]),
  );
  const pools = path.join(folder, 'pools-start');
  fs.mkdirSync(pools);
  const bare: DriverOptions = {
    command: [process.execPath, '-e', 'require("fs").writeSync(1,"x");setInterval(()=>{},1e6)'],
    env: { LD_PRELOAD: compile(preloadSource, 'shared') },
    socketPath: path.join(folder, 'none'),
    cores,
    byOutput: true,
  };
  for (let round = 0; round < (quick ? 5 : 15); round++) {
    for (const kind of round % 2 === 0 ? kinds : [...kinds].reverse()) {
      const driver = await (kind === 'node' ? Driver.start(bare) : daemon(kind, cores, pools));
      starts.get(kind)!.push(driver.startNs);
      if (round < 3) {
        await sleep(2000);
        memories.get(kind)!.push(driver.memory());
      }
      await driver.end();
    }
  }
  const start = (kind: string) => median(starts.get(kind)!);
  const memory = (kind: string, field: 'rssKiB' | 'pssKiB') =>
    median(memories.get(kind)!.map((one) => one[field]));
  const version = `node ${process.versions.node}`;
  const threads = (kind: string) => memories.get(kind)![0]!.threads;
  add('start to registered', 'rest', 'ns', start('vmic'), start('node'), {
    otherName: `bare ${version}`,
    target: 1.5,
  });
  add('start to registered', 'rest', 'ns', start('vmic'), start('c'));
  add('idle Rss', 'rest', 'KiB', memory('vmic', 'rssKiB'), memory('node', 'rssKiB'), {
    otherName: `bare ${version}`,
    target: 1.15,
    note:
      `threads: vmic ${threads('vmic')}, bare node ${threads('node')}, C daemon ` +
      `${threads('c')}`,
  });
  add('idle Pss', 'rest', 'KiB', memory('vmic', 'pssKiB'), memory('node', 'pssKiB'), {
    otherName: `bare ${version}`,
  });
  add('idle Rss', 'rest', 'KiB', memory('vmic', 'rssKiB'), memory('c', 'rssKiB'));
}

function figure(value: number, unit: Row['unit']): string {
  if (unit === 'KiB') return `${(value / 1024).toFixed(1)} MiB`;
  if (value < 1e6) return `${(value / 1e3).toFixed(1)} µs`;
  return value < 1e9 ? `${(value / 1e6).toFixed(1)} ms` : `${(value / 1e9).toFixed(2)} s`;
}

function verdict(row: Row): string {
  if (row.target === undefined || row.ratio === undefined) return '';
  return `${row.ratio <= row.target ? 'met' : 'missed'} (<= ${row.target})`;
}

function table(): string {
  const ratio = (value: number | undefined) =>
    value === undefined ? '' : value.toFixed(value < 0.1 ? 4 : 2);
  const cells = rows.map((row) => [
    row.where,
    row.what,
    figure(row.vmic, row.unit),
    row.other === undefined ? '' : figure(row.other, row.unit),
    row.other === undefined ? '' : row.otherName,
    ratio(row.ratio),
    verdict(row),
    row.note ?? '',
  ]);
  const head = ['where', 'what', 'vmic', 'compared', 'with', 'ratio', 'aim', 'note'];
  const all = [head, ...cells];
  const widths = head.map((_, column) => Math.max(...all.map((line) => line[column]!.length)));
  return all
    .map((line) =>
      line
        .map((cell, column) => cell.padEnd(widths[column]!))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

const missing =
  missingReference() ??
  (fs.existsSync(ownDaemon) ? undefined : `${ownDaemon} is not built: npm run build`);
if (missing !== undefined) {
  process.stderr.write(`Can't measure: ${missing}\n`);
  process.exit(1);
}
try {
  const last = os.availableParallelism() - 1;
  if (last > 0) await roundTrips('two cores', { driver: 0, daemon: last });
  await roundTrips('one core', { driver: last, daemon: last });
  await growth({ driver: 0, daemon: last });
  await startAndMemory({ driver: 0, daemon: last });
} finally {
  fs.rmSync(folder, { recursive: true, force: true });
}
const facts = {
  node: process.versions.node,
  kernel: os.release(),
  cpu: os.cpus()[0]?.model,
  rounds: ROUNDS,
  quick,
};
if (options.json) {
  process.stdout.write(`${JSON.stringify({ ...facts, rows, wrong }, undefined, 2)}\n`);
} else {
  process.stdout.write(
    `${table()}\n\nMedians of ${ROUNDS} alternating rounds; ${facts.cpu}, Linux ${facts.kernel}.\n`,
  );
}
for (const line of wrong) process.stderr.write(`wrong answer: ${line}\n`);
process.exitCode = wrong.length > 0 ? 1 : 0;
