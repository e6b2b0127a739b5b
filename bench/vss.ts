/**
 * Freezes beside Debian's C daemon, in one run: both behind /dev/vmbus/hv_vss (a socket, through
 * the preload shim), pinned, in alternating rounds on the same scratch file systems, ext4 on loop
 * devices in a private mount namespace. Prints medians and ratios; asserts no times. Exit status 1:
 * a daemon reported success and not all was frozen, or failed.
 *
 * Since when the first file system has been frozen is seen from outside, by a writer on each that
 * waits (driver/witness.c, to a millisecond). A kernel that was just made to freeze does the next
 * freeze faster (rcu_sync), so every freeze has a pause before it.
 *
 * usage: npm run bench -- vss [--json] [--quick]
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import readline from 'node:readline';
import { parseArgs } from 'node:util';
import { missingScratch, Scratch } from '../simulator/stages/scratch.ts';
import { compile, missingReference, ownDaemon } from '../test/compat/reference.ts';
import { Operation, VssSubject } from '../test/compat/vss-subject.ts';

const { values: options } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    quick: { type: 'boolean', default: false },
  },
});
const ROUNDS = options.quick ? 3 : 7;
const PAUSE_MS = 1000;
/** After the reply; a writer that gets through meanwhile was not stopped. */
const HELD_MS = 30;

type Name = 'vmic' | 'c';
const NAMES: readonly Name[] = ['vmic', 'c'];

interface Freeze {
  /** From the request to the reply. */
  readonly replyMs: number;
  /** From the moment the first one was frozen to the reply. */
  readonly firstFrozenMs: number;
  readonly thawMs: number;
}

interface Row {
  readonly fileSystems: number;
  readonly dirtyMiB: number;
  readonly what: string;
  readonly vmicMs: number;
  readonly cMs: number;
  /** How many times longer the C daemon takes. */
  readonly ratio: number;
  readonly aim: number | undefined;
}

const rows: Row[] = [];
const wrong: string[] = [];
const median = (numbers: readonly number[]): number =>
  [...numbers].sort((a, b) => a - b)[numbers.length >> 1]!;
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const nowMs = (): number => Number(process.hrtime.bigint()) / 1e6;
const progress = (text: string): boolean => process.stderr.write(`${text}\n`);

const cores = { bench: 0, daemon: os.availableParallelism() - 1 };
/** Children inherit it. */
function pin(core: number): void {
  spawnSync('taskset', ['-p', '-c', String(core), String(process.pid)], { stdio: 'ignore' });
}

class Witness {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(scratch: Scratch) {
    const program = compile(path.join(import.meta.dirname, 'driver/witness.c'), 'program');
    const folders = scratch.fileSystems.map(({ mountPoint }) => mountPoint);
    const [command, ...args] = scratch.enter([program, '-c', String(cores.bench), ...folders]);
    this.#child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#lines = readline.createInterface({ input: this.#child.stdout! })[Symbol.asyncIterator]();
  }

  /** When each was last written to. */
  async ask(): Promise<number[]> {
    this.#child.stdin!.write('\n');
    const { value, done } = await this.#lines.next();
    if (done) throw new Error('the witness ended');
    return (JSON.parse(value) as { lastNs: number[] }).lastNs.map((ns) => ns / 1e6);
  }

  async end(): Promise<void> {
    const ended = once(this.#child, 'close');
    this.#child.stdin!.end();
    await ended;
  }
}

async function freezeOnce(name: Name, subject: VssSubject, witness: Witness): Promise<Freeze> {
  const startMs = nowMs();
  const status = await subject.ask(Operation.freeze);
  const replyMs = nowMs();
  await sleep(HELD_MS);
  const lastMs = await witness.ask();
  const thawStartMs = nowMs();
  const thaw = await subject.ask(Operation.thaw);
  const thawMs = nowMs() - thawStartMs;
  const free = lastMs.filter((ms) => ms > replyMs).length;
  if (status !== 0 || free > 0)
    wrong.push(`${name}: freeze: status 0x${status.toString(16)}, ${free} not frozen`);
  if (thaw !== 0) wrong.push(`${name}: thaw: status 0x${thaw.toString(16)}`);
  return { replyMs: replyMs - startMs, firstFrozenMs: replyMs - Math.min(...lastMs), thawMs };
}

function dirty(scratch: Scratch, sizeMiB: number): void {
  const script =
    `for one; do dd if=/dev/urandom of="$one/dirty" bs=1M count=${sizeMiB} conv=notrunc ` +
    'status=none & done; wait';
  scratch.run('sh', '-c', script, 'sh', ...scratch.fileSystems.map(({ mountPoint }) => mountPoint));
}

async function compare(count: number, dirtyMiB: number, aim: number | undefined): Promise<void> {
  pin(cores.bench);
  const scratch = await Scratch.create({ kinds: Array(count).fill('ext4'), sizeMiB: 64 });
  const subjects = new Map<Name, VssSubject>();
  try {
    const witness = new Witness(scratch);
    for (const name of NAMES) {
      const subject = new VssSubject(name, scratch);
      subjects.set(name, subject);
      pin(cores.daemon);
      const started = subject.start();
      pin(cores.bench);
      await started;
    }
    const freezes = new Map<Name, Freeze[]>(NAMES.map((name) => [name, []]));
    for (let round = 0; round < ROUNDS; round++) {
      progress(
        `${count} file systems, ${dirtyMiB} MiB dirty in each: round ${round + 1} of ${ROUNDS}`,
      );
      // A B, then B A: whatever drifts meets both
      for (const name of round % 2 === 0 ? NAMES : [...NAMES].reverse()) {
        await sleep(PAUSE_MS);
        if (dirtyMiB > 0) dirty(scratch, dirtyMiB);
        freezes.get(name)!.push(await freezeOnce(name, subjects.get(name)!, witness));
      }
    }
    const at = (name: Name, what: keyof Freeze) =>
      median(freezes.get(name)!.map((freeze) => freeze[what]));
    const add = (what: string, key: keyof Freeze, wanted: number | undefined) => {
      const [vmicMs, cMs] = [at('vmic', key), at('c', key)];
      rows.push({
        fileSystems: count,
        dirtyMiB,
        what,
        vmicMs,
        cMs,
        ratio: cMs / vmicMs,
        aim: wanted,
      });
    };
    add('freeze, request to reply', 'replyMs', aim);
    add('first one frozen before the reply', 'firstFrozenMs', aim);
    add('thaw, request to reply', 'thawMs', undefined);
    await witness.end();
  } finally {
    for (const subject of subjects.values()) await subject.dispose();
    await scratch.dispose();
  }
}

function table(): string {
  const ms = (value: number) => `${value.toFixed(1)} ms`;
  const cells = rows.map(({ fileSystems, dirtyMiB, what, vmicMs, cMs, ratio, aim }) => [
    String(fileSystems),
    `${dirtyMiB} MiB`,
    what,
    ms(vmicMs),
    ms(cMs),
    ratio.toFixed(1),
    aim === undefined ? '' : `${ratio >= aim ? 'met' : 'missed'} (>= ${aim})`,
  ]);
  const all = [['ext4', 'dirty', 'what', 'vmic', 'C daemon', 'ratio', 'aim'], ...cells];
  const widths = all[0]!.map((_, column) => Math.max(...all.map((line) => line[column]!.length)));
  return all
    .map((line) =>
      line
        .map((cell, column) => cell.padEnd(widths[column]!))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

const daemon = path.join(path.dirname(ownDaemon), 'vmic-vss');
const missing =
  missingScratch() ??
  missingReference('hv_vss_daemon') ??
  (fs.existsSync(daemon) ? undefined : `${daemon} is not built: npm run build`);
if (missing !== undefined) {
  process.stderr.write(`Can't measure: ${missing}\n`);
  process.exit(1);
}
await compare(1, 0, undefined);
await compare(1, 16, undefined);
await compare(20, 0, 5);
await compare(20, 16, 5);
const facts = {
  node: process.versions.node,
  kernel: os.release(),
  cpu: os.cpus()[0]?.model,
  rounds: ROUNDS,
};
if (options.json) {
  process.stdout.write(`${JSON.stringify({ ...facts, rows, wrong }, undefined, 2)}\n`);
} else {
  process.stdout.write(
    `${table()}\n\nMedians of ${ROUNDS} alternating rounds; ${facts.cpu}, Linux ${facts.kernel}.\n`,
  );
}
for (const line of wrong) process.stderr.write(`wrong: ${line}\n`);
process.exitCode = wrong.length > 0 ? 1 : 0;
