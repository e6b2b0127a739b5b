import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import type { Duplex } from 'node:stream';
import { after, afterEach, before } from 'node:test';
import { guards } from '../../../../daemons/vss/freeze/guard.ts';
import type {
  FreezeTarget,
  Guard,
  GuardOptions,
} from '../../../../daemons/vss/freeze/guard-types.ts';
import { unescaped } from '../../../../daemons/vss/freeze/mountinfo.ts';
import { Scratch } from '../../../../simulator/stages/scratch.ts';

/**
 * Another one is given by guard-sanitizers.slow.test.ts; the sanitizers need too much memory to
 * have it locked.
 */
export const OTHER_PROGRAM = process.env['VMIC_TEST_GUARD'];
export const PROGRAM = OTHER_PROGRAM ?? path.resolve('build/Release/vmic-vss-guard');
/** Never reached in a test that passes, unless it is about the limit. */
export const LIMIT_SECS = 120;

type Frozen = Pick<FreezeTarget, 'mountPoint' | 'deviceNumber'>;
export const target = ({ mountPoint, deviceNumber }: Frozen, optional = false): FreezeTarget => ({
  ...{ mountPoint, deviceNumber, fileSystem: 'ext4', source: '/dev/test', optional },
});

/**
 * Gives the tests of one `describe` file systems of their own to freeze, and thaws them after each.
 * Called inside it.
 */
export function stageGuards() {
  let scratch: Scratch;
  let options: GuardOptions;

  before(async () => {
    scratch = await Scratch.create({ kinds: Array(20).fill('ext4') });
    options = {
      recordPath: path.join(scratch.shared, 'vss-frozen'),
      program: scratch.wrap(PROGRAM),
    };
  });
  after(() => scratch?.dispose());
  /** A test that fails leaves nothing to the next. */
  const started: Guard[] = [];
  afterEach(async () => {
    for (const guard of started.splice(0)) {
      guard.close();
      await guard.ended;
    }
    await guards.thawRecorded(options);
    scratch.thawAll();
  });

  const all = () => scratch.fileSystems.map((fileSystem) => target(fileSystem));
  const mountPointsOf = (...indexes: number[]) =>
    indexes.map((index) => scratch.fileSystems[index]!.mountPoint);
  const [a, b, c] = [() => all()[0]!, () => all()[1]!, () => all()[2]!];

  /** As mountinfo has it, last mount first. */
  function mounted(mountPoint: string): Frozen {
    const lines = scratch.mountinfo().trimEnd().split('\n').reverse();
    const fields = lines
      .map((line) => line.split(' '))
      .find((words) => unescaped(words[4]!) === mountPoint);
    return { mountPoint, deviceNumber: fields![2]! };
  }

  async function freeze(stages: readonly (readonly FreezeTarget[])[], limitSecs = LIMIT_SECS) {
    const guard = await guards.start(options);
    started.push(guard);
    return { guard, report: await guard.freeze(stages, limitSecs) };
  }

  /** The guard's second process, which is its only child. */
  function understudyOf(guard: Guard): number {
    const [child, ...others] = fs
      .readFileSync(`/proc/${guard.pid}/task/${guard.pid}/children`, 'utf8')
      .trim()
      .split(' ');
    assert.deepEqual(others, []);
    return Number(child);
  }

  /** A guard without a daemon that would see to it when it is killed. */
  async function bareGuard(stages: readonly (readonly FreezeTarget[])[]) {
    const child = spawn(options.program!, ['--record', options.recordPath], {
      stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
    });
    const socket = child.stdio[3] as Duplex;
    let said = '';
    socket.setEncoding('utf8');
    socket.on('data', (chunk) => {
      said += chunk;
    });
    const plan = stages
      .flatMap((stage, index) =>
        stage.map((one) => `${index} r ${one.deviceNumber} ${one.mountPoint}\n`),
      )
      .join('');
    socket.write(`freeze ${LIMIT_SECS * 1000} ${plan.length}\n${plan}`);
    await until(() => /^freeze ok/m.test(said));
    const ended = once(child, 'exit');
    return { pid: child.pid!, ended, socket };
  }

  async function until(done: () => boolean): Promise<void> {
    while (!done()) await new Promise((resolve) => setTimeout(resolve, 5));
  }

  /** What systemd does to a service that doesn't end: all of it is killed. */
  async function leaveFrozen(stages: readonly (readonly FreezeTarget[])[]): Promise<void> {
    const { pid, ended, socket } = await bareGuard(stages);
    process.kill(understudyOf({ pid } as Guard), 'SIGKILL');
    process.kill(pid, 'SIGKILL');
    await ended;
    socket.destroy();
  }

  return {
    get scratch() {
      return scratch;
    },
    get options() {
      return options;
    },
    ...{
      all,
      mountPointsOf,
      a,
      b,
      c,
      mounted,
      freeze,
      understudyOf,
      bareGuard,
      until,
      leaveFrozen,
    },
  };
}
