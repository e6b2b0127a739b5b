/**
 * How soon a beat is answered, as the host sees it: on a quiet machine, and while everything that
 * must not matter goes wrong at once: checks hang, nobody reads the daemon's log, and a core is
 * busy. As root the daemon has the priority that its unit gives it. The host's end runs in this
 * process, whose own delays count, too; so it has the highest priority. Asserts no times.
 *
 * usage: npm run bench -- heartbeat [--json] [--quick]
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { native } from '../native/index.ts';
import { heartbeatProtocol } from '../protocol/heartbeat/vmbus.ts';
import { VmbusHost } from '../simulator/hosts/vmbus-host.ts';
import { heartbeatView } from '../simulator/scenes/heartbeat.ts';
import { script } from '../simulator/scenes/scene.ts';
import { binFolder } from '../simulator/stages/daemon.ts';

const { values: options } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    quick: { type: 'boolean', default: false },
  },
});
const SECONDS = options.quick ? 5 : 30;
const PAUSE_MS = 2;
/** The aim at the 99.9th percentile. */
const AIM_MS = 5;

interface Result {
  readonly what: string;
  readonly beats: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  readonly maxMs: number;
  /**
   * By how much this process woke up too late from its own pauses, at p99.9: what the machine does
   * to everybody.
   */
  readonly lateness999Ms: number;
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const children: ChildProcess[] = [];
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'vmic-bench-'));
const isRoot = process.getuid?.() === 0;
/** Nice= of systemd/vmic-heartbeat.service. */
const UNIT_NICE = -10;
if (isRoot) os.setPriority(os.constants.priority.PRIORITY_HIGHEST);

const checks = path.join(folder, 'health.d');

/** A pipe that is full, for a daemon whose log nobody reads. `keep` has to stay open. */
function fullPipe(): { keep: number; end: number } {
  const file = path.join(folder, 'log');
  execFileSync('mkfifo', [file]);
  const keep = fs.openSync(file, fs.constants.O_RDWR | fs.constants.O_NONBLOCK);
  const page = Buffer.alloc(4096);
  try {
    for (;;) fs.writeSync(keep, page);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
  }
  return { keep, end: fs.openSync(file, fs.constants.O_WRONLY) };
}

async function measure(what: string, trouble: boolean): Promise<Result> {
  const socketPath = path.join(folder, `host-${trouble}`);
  const host = new VmbusHost({
    native,
    protocol: heartbeatProtocol,
    view: heartbeatView,
    socketPath,
  });
  const pipe = trouble ? fullPipe() : undefined;
  if (trouble)
    for (let i = 0; i < 4; i++)
      script(checks, `hangs-${i}`, 'trap "" TERM', 'while :; do sleep 1; done');
  const config = path.join(folder, 'config.toml');
  fs.writeFileSync(config, '');
  const set = [
    `checks_directory=${checks}`,
    'check_interval_secs=1',
    'check_timeout_secs=1',
    'interval_secs=1',
  ];
  const daemon = spawn(
    process.execPath,
    [
      path.join(binFolder(), 'vmic-heartbeat'),
      ...['--debug', '--config', config, '--transport', host.transport],
      ...set.flatMap((one) => ['--set', `heartbeat.${one}`]),
    ],
    { stdio: ['ignore', 'ignore', pipe ? pipe.end : 'ignore'], env: { PATH: process.env['PATH'] } },
  );
  children.push(daemon);
  if (isRoot) os.setPriority(daemon.pid!, UNIT_NICE);
  const busy = trouble
    ? spawn(process.execPath, ['-e', 'for (;;);'], { stdio: 'ignore' })
    : undefined;
  if (busy) {
    children.push(busy);
    if (isRoot) os.setPriority(busy.pid!, 0);
  }
  await host.ready();
  // What comes once, at the start, is not what this is about
  await sleep(1000);
  const times: number[] = [];
  const lateness: number[] = [];
  const endMs = performance.now() + SECONDS * 1000;
  for (let sequence = 1n; performance.now() < endMs; sequence += 2n) {
    const sentMs = performance.now();
    const reply = await host.request({ sequence });
    times.push(performance.now() - sentMs);
    if (reply.status !== 0 || reply.sequence !== sequence + 1n)
      throw new Error(`beat ${sequence}: a wrong answer`);
    const pausedMs = performance.now();
    await sleep(PAUSE_MS);
    lateness.push(performance.now() - pausedMs - PAUSE_MS);
  }
  const ended = new Promise((resolve) => daemon.on('close', resolve));
  daemon.kill('SIGTERM');
  // The log's pipe is full: its last lines can only be written when somebody reads
  if (pipe) {
    fs.closeSync(pipe.end);
    fs.closeSync(pipe.keep);
  }
  busy?.kill('SIGKILL');
  await ended;
  host.close();
  const at = (values: number[], share: number): number =>
    values.sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * share))]!;
  return {
    what,
    beats: times.length,
    p50Ms: at(times, 0.5),
    p99Ms: at(times, 0.99),
    p999Ms: at(times, 0.999),
    maxMs: at(times, 1),
    lateness999Ms: at(lateness, 0.999),
  };
}

try {
  const results = [
    await measure('a quiet machine', false),
    await measure('four checks hang, nobody reads the log, one core is busy', true),
  ];
  if (options.json) process.stdout.write(`${JSON.stringify({ aimMs: AIM_MS, results })}\n`);
  else {
    const ms = (value: number): string => value.toFixed(3).padStart(8);
    process.stdout.write(
      `${os.cpus().length} cores, Node ${process.version}; time from a beat to its answer in ms\n`,
    );
    process.stdout.write(`   beats      p50      p99    p99.9      max     (*)  while\n`);
    for (const { what, beats, p50Ms, p99Ms, p999Ms, maxMs, lateness999Ms } of results) {
      const verdict = p999Ms <= AIM_MS ? '' : `  (aim: ${AIM_MS} at p99.9)`;
      process.stdout.write(
        `${String(beats).padStart(8)} ${ms(p50Ms)} ${ms(p99Ms)} ${ms(p999Ms)} ${ms(maxMs)} ` +
          `${ms(lateness999Ms)}  ${what}${verdict}\n`,
      );
    }
    process.stdout.write(
      '(*) how much too late the measuring process itself woke up, p99.9: what the machine ' +
        'does to everybody\n',
    );
  }
} finally {
  for (const child of children) child.kill('SIGKILL');
  fs.rmSync(folder, { recursive: true, force: true });
}
