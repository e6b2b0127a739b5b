/**
 * Kills the VSS service's processes with SIGKILL at moments left to chance: while it prepares,
 * freezes, holds and thaws. Nothing may stay frozen.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { missingScratch, Scratch } from '../../../../simulator/stages/scratch.ts';
import { ownDaemon } from '../../../compat/reference.ts';
import { Operation, VssSubject } from '../../../compat/vss-subject.ts';
import { repetitions } from '../../../repetitions.ts';

const KILLS = repetitions({ all: 100, part: 16 });
/**
 * At once, each among file systems of its own: what matters is waiting, and the moments get more
 * mixed.
 */
const LANES = 4;
const FILE_SYSTEMS = 5;
/** What is left alive acts within this time on a machine that is not busy. */
const SETTLED_MS = 2000;
/** Only there against waiting for ever. */
const HANGING_MS = 300_000;
/** About as long as a freeze takes to be complete. */
const FREEZING_MS = 120;

type Victim = 'daemon' | 'guard' | 'both';

interface Tally {
  kills: number;
  /** Kills that came when something was frozen, or just being frozen. */
  inFlight: number;
  /** Of those, when all were. */
  complete: number;
  /** Kills after which it took longer than `SETTLED_MS` until all was thawed. */
  slow: number;
  readonly frozenAfter: string[];
}

/** What the record says: the guard's process, and the states of its file systems. */
function readRecord(file: string): { readonly pid: number; readonly states: string } | undefined {
  let text = '';
  try {
    text = fs.readFileSync(file, 'utf8');
  } catch {
    // Nothing is being frozen
  }
  const [, pid] = /^vmic-vss 1 (\d+) \d+\n/.exec(text) ?? [];
  if (pid === undefined) return undefined;
  const states = text
    .split('\n')
    .slice(1, -1)
    .map((line) => line[0]);
  return { pid: Number(pid), states: states.join('') };
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // Ended already
  }
}

/**
 * Waits until the guard has thawed all: it removes its record then. Returns false when that took
 * longer than usual.
 */
async function settled(record: string): Promise<boolean> {
  await sleep(SETTLED_MS);
  if (!fs.existsSync(record)) return true;
  for (let ms = 0; ms < HANGING_MS && fs.existsSync(record); ms += 100) await sleep(100);
  return false;
}

/** A guard's second process, if it has one yet. */
function understudyOf(pid: number): number | undefined {
  try {
    const [child] = fs.readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ');
    return child ? Number(child) : undefined;
  } catch {
    return undefined;
  }
}

/** What the unit's ExecStopPost does. */
async function lastResort(scratch: Scratch, subject: VssSubject): Promise<void> {
  const vmic = path.join(path.dirname(ownDaemon), 'vmic');
  const command = [
    process.execPath,
    vmic,
    'vss',
    'thaw',
    '--last-resort',
    '--config',
    subject.configFile,
  ];
  const [program, ...args] = scratch.enter(command);
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  let errors = '';
  child.stderr.on('data', (chunk) => {
    errors += chunk;
  });
  const [status] = await once(child, 'close');
  assert.equal(status, 0, errors);
}

/** False: there was nobody to kill at that moment. */
async function killOnce(
  scratch: Scratch,
  subject: VssSubject,
  victim: Victim,
  tally: Tally,
): Promise<boolean> {
  await subject.start();
  const freeze = subject.ask(Operation.freeze);
  freeze.catch(() => {});
  if (Math.random() < 0.5) {
    await sleep(Math.random() * FREEZING_MS);
  } else {
    await freeze;
    await sleep(Math.random() * 20);
    if (Math.random() < 0.3) void subject.ask(Operation.thaw).catch(() => {});
  }
  const record = readRecord(subject.recordPath);
  const guard = record?.pid;
  if (victim === 'guard' && guard === undefined) {
    await subject.end();
    return false;
  }
  const understudy = guard === undefined ? undefined : understudyOf(guard);
  if (victim !== 'guard') kill(subject.pid);
  if (victim !== 'daemon' && guard !== undefined) kill(guard);
  if (victim === 'both' && understudy !== undefined) kill(understudy);
  if (victim === 'both') {
    await subject.end('SIGKILL');
    await lastResort(scratch, subject);
  }
  if (!(await settled(subject.recordPath))) tally.slow++;
  tally.kills++;
  if (/[bF]/.test(record?.states ?? '')) tally.inFlight++;
  if (/^F+$/.test(record?.states ?? '')) tally.complete++;
  const frozen = scratch.thawAll();
  if (frozen.length > 0) {
    tally.frozenAfter.push(`kill ${tally.kills} at ${record?.states}: ${frozen.length} frozen`);
  }
  await subject.end('SIGKILL');
  assert.ok(!fs.existsSync(subject.recordPath), 'the record is left behind');
  return true;
}

const skip = missingScratch() ?? false;

for (const victim of ['daemon', 'guard', 'both'] as const) {
  const who = victim === 'both' ? 'the daemon, its guard and its understudy' : `the ${victim}`;
  test(`${KILLS} kills of ${who}: nothing stays frozen`, { skip }, async (t) => {
    const tally: Tally = { kills: 0, inFlight: 0, complete: 0, slow: 0, frozenAfter: [] };
    const lane = async () => {
      const scratch = await Scratch.create({ kinds: Array(FILE_SYSTEMS).fill('ext4') });
      const subject = new VssSubject('vmic', scratch);
      try {
        for (let i = 0; i < KILLS / LANES; )
          if (await killOnce(scratch, subject, victim, tally)) i++;
      } finally {
        await subject.dispose();
        await scratch.dispose();
      }
    };
    const results = await Promise.allSettled(Array.from({ length: LANES }, lane));
    for (const result of results) if (result.status === 'rejected') throw result.reason;
    t.diagnostic(
      `${tally.kills} kills, ${tally.inFlight} with something frozen, ${tally.complete} with ` +
        `everything; ${tally.slow} were thawed later than ${SETTLED_MS} ms after`,
    );
    assert.deepEqual(tally.frozenAfter, []);
    assert.ok(
      tally.inFlight >= KILLS / 8,
      `only ${tally.inFlight} of ${tally.kills} kills came when something was frozen`,
    );
  });
}
