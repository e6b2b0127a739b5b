/**
 * Starting programs as JavaScript sees it; what a program gets, and hanging disks, are tested on
 * the core (core_process.cpp).
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { native } from '../../native/index.ts';
import type {
  Native,
  NativeError,
  Program,
  ProgramEnd,
  ProgramOptions,
} from '../../native/interface.ts';
import { MemoryNative, nativeError } from '../../native/memory/index.ts';
import { ADDON, bundle } from './bundle.ts';
import { turns } from './pairs.ts';

const { SIGKILL, SIGTERM } = constants.signals;
const BASE: ProgramOptions = { args: [], env: ['PATH=/usr/bin:/bin'], outputBytes: 1000 };
const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text));

/** Whether a process is there and no zombie. */
function isAlive(pid: number): boolean {
  try {
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'));
  } catch {
    return false;
  }
}

async function gone(pid: number): Promise<void> {
  while (isAlive(pid)) await sleep(5);
}

/** Plain data, to be compared. */
function plain(end: ProgramEnd): unknown {
  if (end.reason === 'error') {
    const { code, syscall, path } = end.error;
    return { reason: end.reason, code, syscall, path };
  }
  return {
    ...end,
    output: Buffer.from(end.output).toString(),
    errors: Buffer.from(end.errors).toString(),
  };
}

interface Ran {
  readonly program: Program;
  readonly started: Promise<number>;
  readonly ended: Promise<ProgramEnd>;
}

function start(on: Native, file: string, options: Partial<ProgramOptions> = {}): Ran {
  let program: Program | undefined;
  let onEnd: (end: ProgramEnd) => void = () => {};
  const ended = new Promise<ProgramEnd>((resolve) => {
    onEnd = resolve;
  });
  const started = new Promise<number>((resolve) => {
    program = on.startProgram(file, { ...BASE, ...options }, resolve, onEnd);
  });
  return { program: program!, started, ended };
}

async function run(
  on: Native,
  file: string,
  options: Partial<ProgramOptions> = {},
): Promise<unknown> {
  const { program, ended } = start(on, file, options);
  const end = await ended;
  program.close();
  return plain(end);
}

const NOTHING = new Uint8Array();

/** The programs of this machine that the tests of both use, as far as they use them. */
function memory(): MemoryNative {
  const on = new MemoryNative();
  on.programs.set('true', (program) =>
    program.end({ reason: 'exit', status: 0, output: NOTHING, errors: NOTHING }),
  );
  on.programs.set('printf', (program) => {
    program.end({
      reason: 'exit',
      status: 0,
      output: bytes(program.options.args[0] ?? ''),
      errors: NOTHING,
    });
  });
  on.programs.set('sleep', (program) => {
    const check = (): void => {
      const [signal] = program.signals;
      if (signal === undefined) setImmediate(check);
      else program.end({ reason: 'signal', signal, output: NOTHING, errors: NOTHING });
    };
    check();
  });
  return on;
}

const both: [name: string, make: () => Native][] = [
  ['the addon', () => native],
  ['memory', memory],
];
for (const [name, make] of both) {
  describe(`programs, started by ${name}`, () => {
    it('tell first their start, then their end, on later turns', async () => {
      const on = make();
      const told: unknown[] = [];
      const program = await new Promise<Program>((resolve) => {
        const made = on.startProgram(
          'printf',
          { ...BASE, args: ['said'], outputBytes: 3 },
          (pid) => told.push(pid, made.pid),
          (end) => {
            told.push(plain(end), made.pid);
            resolve(made);
          },
        );
        assert.deepEqual([told, made.pid], [[], undefined]);
      });
      const pid = told[0] as number;
      assert.ok(pid > 0);
      assert.deepEqual(told, [
        pid,
        pid,
        { reason: 'exit', status: 0, output: 'sai', errors: '' },
        pid,
      ]);
      program.close();
      assert.equal(program.pid, undefined);
      program.kill(SIGKILL);
      program.close();
    });

    it('tell the signal that ended them', async () => {
      const { program, started, ended } = start(make(), 'sleep', { args: ['1000'] });
      await started;
      program.kill(SIGTERM);
      assert.deepEqual(plain(await ended), {
        reason: 'signal',
        signal: SIGTERM,
        output: '',
        errors: '',
      });
      program.close();
    });

    it('take a signal before they are started', async () => {
      const { program, ended } = start(make(), 'sleep', { args: ['1000'] });
      program.kill(SIGTERM);
      assert.equal((await ended).reason, 'signal');
      program.close();
    });

    it('tell only an end when they could not be started', async () => {
      const told: unknown[] = [];
      const program = await new Promise<Program>((resolve) => {
        const made = make().startProgram(
          '/absent/program',
          BASE,
          () => told.push('started'),
          (end) => {
            told.push(plain(end));
            resolve(made);
          },
        );
      });
      assert.deepEqual(told, [
        { reason: 'error', code: 'ENOENT', syscall: 'execve', path: '/absent/program' },
      ]);
      assert.equal(program.pid, undefined);
      program.close();
    });

    it('tell nothing once they are closed, be it at once or in a callback', async () => {
      const on = make();
      const never = (): never => assert.fail('called after close');
      on.startProgram('sleep', { ...BASE, args: ['1000'] }, never, never).close();
      await new Promise<void>((resolve) => {
        const program = on.startProgram(
          'true',
          BASE,
          () => {
            program.close();
            resolve();
          },
          never,
        );
      });
      await run(on, 'true');
      await turns();
    });
  });
}

describe('programs in memory', () => {
  it('are played by the test', async () => {
    const on = new MemoryNative();
    let sent: readonly number[] = [];
    on.programs.set('plays', (program) => {
      assert.deepEqual(program.options, { ...BASE, args: ['a'] });
      sent = program.signals;
      program.end({ reason: 'error', error: nativeError('ECHILD', 'waitid') });
      program.end({ reason: 'exit', status: 0, output: NOTHING, errors: NOTHING });
    });
    const { program, started, ended } = start(on, 'plays', { args: ['a'] });
    await started;
    program.kill(SIGTERM);
    assert.equal((await ended).reason, 'error');
    await turns();
    program.close();
    assert.deepEqual(sent, [SIGTERM]);
    const closed = start(on, 'plays', { args: ['a'] });
    await closed.started;
    closed.program.close();
    assert.deepEqual(sent, [SIGKILL]);
  });
});

describe('programs, started by the addon', () => {
  it('get their options', async () => {
    const asked = 'printf "%s|" "$0" "$@" "$TEXT" "$PWD" "$(nice)"; cat';
    const options = {
      args: ['-c', asked, 'zero', 'ö "*'],
      env: [...BASE.env, 'TEXT=ä\n'],
      cwd: '/usr',
      input: bytes('in'),
      niceness: 19,
    };
    assert.deepEqual(await run(native, 'sh', options), {
      reason: 'exit',
      status: 0,
      output: 'zero|ö "*|ä\n|/usr|19|in',
      errors: '',
    });
  });

  it('say which call failed on what', async () => {
    const failed = (syscall: string, code: string, path: string) => ({
      reason: 'error',
      code,
      syscall,
      path,
    });
    assert.deepEqual(await run(native, 'absent'), failed('execve', 'ENOENT', 'absent'));
    assert.deepEqual(await run(native, '/etc/passwd'), failed('execve', 'EACCES', '/etc/passwd'));
    assert.deepEqual(
      await run(native, 'true', { cwd: '/absent' }),
      failed('chdir', 'ENOENT', '/absent'),
    );
  });

  it('do not start with what breaks the contract', () => {
    const refused: [file: unknown, options: unknown, words: RegExp][] = [
      ['a\0b', BASE, /file/],
      [7, BASE, /file/],
      ['true', undefined, /options/],
      ['true', { ...BASE, args: undefined }, /args/],
      ['true', { ...BASE, args: ['a\0b'] }, /args/],
      ['true', { ...BASE, env: [7] }, /env/],
      ['true', { ...BASE, cwd: 'a\0b' }, /cwd/],
      ['true', { ...BASE, input: 'text' }, /input/],
      ['true', { ...BASE, outputBytes: -1 }, /outputBytes/],
      ['true', { ...BASE, outputBytes: 2 ** 40 }, /outputBytes/],
      ['true', { ...BASE, niceness: 20 }, /niceness/],
    ];
    const nothing = (): void => {};
    for (const [file, options, message] of refused) {
      assert.throws(
        () => native.startProgram(file as string, options as ProgramOptions, nothing, nothing),
        {
          name: 'TypeError',
          message,
        },
      );
    }
    const broken = {
      get args(): string[] {
        throw new Error('on purpose');
      },
    };
    assert.throws(
      () => native.startProgram('true', broken as unknown as ProgramOptions, nothing, nothing),
      /on purpose/,
    );
    assert.throws(
      () => native.startProgram('true', BASE, nothing, undefined as unknown as () => void),
      TypeError,
    );
    const { program } = start(native, 'true');
    for (const signal of [0, 65, 1.5, 'SIGTERM'])
      assert.throws(() => program.kill(signal as number), TypeError);
    program.close();
  });

  it('and those of node:child_process do not disturb each other', async () => {
    const all = Array.from({ length: 40 }, async (_, at) => {
      const wanted = at % 7;
      const args = ['-c', `exit ${wanted}`];
      if (at % 2 === 0) {
        const child = spawn('sh', args, { stdio: 'ignore' });
        assert.deepEqual(await once(child, 'exit'), [wanted, null]);
      } else {
        assert.deepEqual(await run(native, 'sh', { args }), {
          reason: 'exit',
          status: wanted,
          output: '',
          errors: '',
        });
      }
    });
    await Promise.all(all);
  });

  it('end with their group when they are closed', async () => {
    const { program, started } = start(native, 'sh', { args: ['-c', 'sleep 1000 & wait'] });
    const pid = await started;
    program.close();
    await gone(pid);
    for (;;) {
      try {
        process.kill(-pid, 0);
        await sleep(5);
      } catch (error) {
        assert.equal((error as NativeError).code, 'ESRCH');
        break;
      }
    }
  });

  it('end with the worker that started them', async (t) => {
    process.env['VMIC_ADDON'] = ADDON;
    const worker = new Worker(bundle(t, 'program_worker.ts'));
    const [pid] = (await once(worker, 'message')) as [number];
    assert.ok(isAlive(pid));
    await worker.terminate();
    await gone(pid);
  });
});
