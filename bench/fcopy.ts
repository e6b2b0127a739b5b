/**
 * File copy beside the C daemons, in one run: Debian's hv_fcopy_daemon behind /dev/vmbus/hv_fcopy
 * and hv_fcopy_uio_daemon behind /dev/uio0 (both a socket, through the preload shim), pinned, in
 * alternating rounds. 64 MiB in fragments of 6 KiB, each sent when the one before has been
 * answered, to a file on tmpfs whose content is compared. Prints medians and ratios; asserts no
 * times. Exit status 1: a copy went wrong.
 *
 * "one core" is the daemon's own cost: driver and daemon take turns. On "two cores" waking the
 * other core costs more than either daemon.
 *
 * usage: npm run bench -- fcopy [--json] [--quick] [--only-c]     --only-c: the C daemons alone
 */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { binFolder } from '../simulator/stages/daemon.ts';
import {
  findCDaemon,
  findUioDaemon,
  missingFcopyReference,
  shimmedFcopy,
} from '../test/compat/reference.ts';
import { type Cores, Driver } from './driver.ts';

const { values: options } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    quick: { type: 'boolean', default: false },
    'only-c': { type: 'boolean', default: false },
  },
});
const ROUNDS = options.quick ? 5 : 15;
const MIB = 64;
/** Of the driver: 4 KiB of control page, 16 KiB of data. */
const RING_BYTES = 20 * 1024;
/**
 * Aims: throughput of at least this part of the C daemon's, CPU time of at most this many times
 * its.
 */
const AIMS = { throughput: 0.9, cpu: 1.3 } as const;

type Name = 'vmic' | 'c';
type Link = 'device' | 'ring';
const names: readonly Name[] = options['only-c'] ? ['c'] : ['vmic', 'c'];
const LINKS: readonly Link[] = ['device', 'ring'];

interface Row {
  readonly where: string;
  readonly link: Link;
  readonly what: string;
  readonly unit: 'MiB/s' | 'ms/MiB' | 'MiB';
  readonly vmic: number | undefined;
  readonly c: number;
  readonly ratio: number | undefined;
  readonly aim: string | undefined;
}

const rows: Row[] = [];
const wrong: string[] = [];
/** Where a file costs memory only. */
const memoryFolder = '/dev/shm';
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'vmic-bench-'));
const target = fs.mkdtempSync(
  path.join(fs.existsSync(memoryFolder) ? memoryFolder : folder, 'vmic-bench-'),
);

const median = (numbers: readonly number[]): number =>
  [...numbers].sort((a, b) => a - b)[numbers.length >> 1]!;

let serial = 0;
function start(name: Name, link: Link, cores: Cores): Promise<Driver> {
  const socketPath = path.join(folder, `channel-${serial++}`);
  if (name === 'c') {
    const program = link === 'device' ? findCDaemon('hv_fcopy_daemon')! : findUioDaemon()!;
    const env = shimmedFcopy(socketPath, folder, RING_BYTES);
    return Driver.start({ command: [program, '-n'], env, socketPath, cores, fcopy: link });
  }
  const config = path.join(folder, 'config.toml');
  fs.writeFileSync(config, `[fcopy]\nstatus_file = "${path.join(folder, 'status.json')}"\n`);
  const transport = `${link === 'device' ? 'unix' : 'unix-ring'}:${socketPath}`;
  const command = [
    process.execPath,
    path.join(binFolder(), 'vmic-fcopy'),
    '--config',
    config,
    '--transport',
    transport,
  ];
  return Driver.start({ command, env: {}, socketPath, cores, fcopy: link });
}

async function measure(where: string, link: Link, cores: Cores): Promise<void> {
  const drivers = new Map<Name, Driver>();
  for (const name of names) drivers.set(name, await start(name, link, cores));
  const figures = { throughput: new Map<Name, number[]>(), cpu: new Map<Name, number[]>() };
  for (let round = -1; round < ROUNDS; round++) {
    process.stderr.write(
      `${where}, ${link}: ${round < 0 ? 'warming up' : `round ${round + 1} of ${ROUNDS}`}\n`,
    );
    // A B, then B A: whatever drifts meets both
    for (const name of round % 2 === 0 ? names : [...names].reverse()) {
      const file = `${name}.bin`;
      const { ns, cpuNs, status, whole } = await drivers.get(name)!.copy(target, file, MIB << 20);
      if (status !== 0) wrong.push(`${name} over the ${link}: status 0x${status.toString(16)}`);
      else if (!whole) wrong.push(`${name} over the ${link}: the file is not what was sent`);
      fs.rmSync(path.join(target, file), { force: true });
      if (round < 0) continue;
      figures.throughput.set(name, [...(figures.throughput.get(name) ?? []), MIB / (ns / 1e9)]);
      figures.cpu.set(name, [...(figures.cpu.get(name) ?? []), cpuNs / 1e6 / MIB]);
    }
  }
  const at = (kind: keyof typeof figures, name: Name) => {
    const list = figures[kind].get(name);
    return list && median(list);
  };
  const add = (
    what: string,
    unit: Row['unit'],
    vmic: number | undefined,
    c: number,
    aim?: string,
  ): void => {
    rows.push({
      where,
      link,
      what,
      unit,
      vmic,
      c,
      ratio: vmic === undefined ? undefined : vmic / c,
      aim,
    });
  };
  add(
    'throughput',
    'MiB/s',
    at('throughput', 'vmic'),
    at('throughput', 'c')!,
    `>= ${AIMS.throughput}`,
  );
  add('CPU time', 'ms/MiB', at('cpu', 'vmic'), at('cpu', 'c')!, `<= ${AIMS.cpu}`);
  const rssMib = (name: Name) => drivers.get(name) && drivers.get(name)!.memory().rssKiB / 1024;
  add('Rss after that', 'MiB', rssMib('vmic'), rssMib('c')!);
  for (const driver of drivers.values()) await driver.end();
}

function met({ ratio, what }: Row): string {
  if (ratio === undefined || what === 'Rss after that') return '';
  return (what === 'throughput' ? ratio >= AIMS.throughput : ratio <= AIMS.cpu) ? 'met' : 'missed';
}

function table(): string {
  const figure = (value: number | undefined, unit: string) =>
    value === undefined
      ? ''
      : `${value.toFixed(unit === 'ms/MiB' ? 2 : value < 100 ? 1 : 0)} ${unit}`;
  const lines = [['where', 'over the', 'what', 'vmic', 'C daemon', 'ratio', 'aim']];
  for (const row of rows) {
    const { where, link, what, unit, vmic, c, ratio, aim } = row;
    const verdict = aim === undefined ? '' : `${met(row)} (${aim})`.trim();
    lines.push([
      where,
      link,
      what,
      figure(vmic, unit),
      figure(c, unit),
      ratio?.toFixed(2) ?? '',
      verdict,
    ]);
  }
  const widths = lines[0]!.map((_, column) =>
    Math.max(...lines.map((line) => line[column]!.length)),
  );
  return lines
    .map((line) =>
      line
        .map((cell, column) => cell.padEnd(widths[column]!))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

const missing = missingFcopyReference();
const links = LINKS.filter((link) => missing[link] === undefined);
for (const link of LINKS)
  if (missing[link]) process.stderr.write(`Not measured over the ${link}: ${missing[link]}\n`);
const notBuilt = names.includes('vmic') && !fs.existsSync(path.join(binFolder(), 'vmic-fcopy'));
try {
  if (links.length === 0 || notBuilt) {
    process.stderr.write(
      `Can't measure${notBuilt ? ': bin/vmic-fcopy is not built: npm run build' : ''}\n`,
    );
    process.exitCode = 1;
  } else {
    const last = os.availableParallelism() - 1;
    for (const link of links) {
      if (last > 0) await measure('two cores', link, { driver: 0, daemon: last });
      await measure('one core', link, { driver: last, daemon: last });
    }
    report();
  }
} finally {
  fs.rmSync(folder, { recursive: true, force: true });
  fs.rmSync(target, { recursive: true, force: true });
}

function report(): void {
  const fileSystem = execFileSync('stat', ['-f', '-c', '%T', target], { encoding: 'utf8' }).trim();
  const facts = {
    node: process.versions.node,
    kernel: os.release(),
    cpu: os.cpus()[0]?.model,
    fileSystem,
    rounds: ROUNDS,
  };
  if (options.json) {
    process.stdout.write(`${JSON.stringify({ ...facts, mib: MIB, rows, wrong }, undefined, 2)}\n`);
  } else {
    const about =
      `Medians of ${ROUNDS} alternating rounds of ${MIB} MiB to ${fileSystem}; ${facts.cpu}, ` +
      `Linux ${facts.kernel}, Node.js ${facts.node}.`;
    process.stdout.write(`${table()}\n\n${about}\n`);
  }
  for (const line of wrong) process.stderr.write(`wrong: ${line}\n`);
  if (wrong.length > 0) process.exitCode = 1;
}
