import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { MemoryNative, nativeError } from '../../native/memory/index.ts';
import { findExecutables, killGroup, listExecutables, run } from '../../runtime/executables.ts';

const ENV = { PATH: '/usr/bin:/bin' };
let folder: string;
before(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'vmic-executables-'));
});
after(() => fs.rmSync(folder, { recursive: true, force: true }));

function script(name: string, text: string, mode = 0o755): string {
  const file = path.join(folder, name);
  fs.writeFileSync(file, `#!/bin/sh\n${text}\n`);
  fs.chmodSync(file, mode);
  return file;
}

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    // A zombie that nobody reaps here is dead all the same
    return !/^State:\s+Z/m.test(fs.readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
};

async function gone(pid: number): Promise<void> {
  while (isAlive(pid)) await new Promise((resolve) => setTimeout(resolve, 10));
}

describe('running a program', () => {
  it('gives what it said, from either output', async () => {
    const file = script('says', 'echo out; echo err >&2');
    assert.deepEqual(await run(file, { env: ENV, timeoutMs: 10_000 }), {
      problem: undefined,
      output: 'out\n',
      errors: 'err\n',
    });
  });

  it('hands over arguments and environment as they are, and nothing else', async () => {
    const file = script('hands', 'printf "%s|" "$@"; printf "%s" "$TEXT"; env | grep -c HOME');
    const nasty = '$(id); `id` "\' \n*';
    const { output } = await run(file, {
      args: [nasty, '--', ''],
      env: { ...ENV, TEXT: nasty },
      timeoutMs: 10_000,
    });
    assert.equal(output, `${nasty}|--||${nasty}0\n`);
  });

  it('gives it text to read, and is not put off by one that does not read', async () => {
    const text = 'x'.repeat(1 << 20);
    const counts = await run('wc', { args: ['-c'], env: ENV, timeoutMs: 10_000, input: text });
    assert.equal(counts.output.trim(), String(text.length));
    const ignores = await run('true', { env: ENV, timeoutMs: 10_000, input: text });
    assert.equal(ignores.problem, undefined);
  });

  it('says how it failed', async () => {
    const fails = async (text: string) =>
      (await run(script('fails', text), { env: ENV, timeoutMs: 10_000 })).problem;
    assert.equal(await fails('exit 3'), 'exit status 3');
    assert.equal(await fails('kill -9 $$'), 'ended by SIGKILL');
    const missing = await run(path.join(folder, 'missing'), { env: ENV, timeoutMs: 10_000 });
    assert.match(missing.problem ?? '', /ENOENT/);
    fs.writeFileSync(path.join(folder, 'garbage'), Buffer.from([0x7f, 0x45, 0, 0]), {
      mode: 0o755,
    });
    const garbage = await run(path.join(folder, 'garbage'), { env: ENV, timeoutMs: 10_000 });
    assert.match(garbage.problem ?? '', /ENOEXEC/);
    fs.writeFileSync(path.join(folder, 'no-interpreter'), 'echo run by a shell\n', { mode: 0o755 });
    const unmarked = await run(path.join(folder, 'no-interpreter'), {
      env: ENV,
      timeoutMs: 10_000,
    });
    assert.match(unmarked.problem ?? '', /ENOEXEC/, 'a shell is not called by itself');
    assert.equal(unmarked.output, '');
  });

  it('says so when the system refuses to start it at once', async () => {
    const { problem } = await run('true', {
      env: { ...ENV, LONG: 'x'.repeat(1 << 20) },
      timeoutMs: 10_000,
    });
    assert.match(problem ?? '', /E2BIG/);
  });

  it('makes it as nice as it has to be', async () => {
    const own = os.getPriority();
    const nice = async (niceness?: number): Promise<number> => {
      const options = {
        env: ENV,
        timeoutMs: 10_000,
        ...(niceness === undefined ? {} : { niceness }),
      };
      return Number((await run('nice', options)).output);
    };
    assert.deepEqual([await nice(), await nice(19)], [own, 19]);
    assert.equal(os.getPriority(), own);
  });

  it('keeps only so much of what it says, and reads on', async () => {
    const file = script('floods', 'head -c 1000000 /dev/zero | tr "\\0" a; echo end >&2');
    const { problem, output, errors } = await run(file, {
      env: ENV,
      timeoutMs: 30_000,
      outputBytes: 100,
    });
    assert.deepEqual(
      { problem, output, errors },
      { problem: undefined, output: 'a'.repeat(100), errors: 'end\n' },
    );
  });

  it('ends one whose time is up, with all it started', async () => {
    let group: number | undefined;
    const file = script('hangs', 'sleep 1000 & echo $!; wait');
    const { problem, output } = await run(file, {
      env: ENV,
      timeoutMs: 200,
      onProcess: (pid) => {
        group ??= pid;
      },
    });
    assert.equal(problem, 'did not end within 0.2 s');
    await gone(Number(output));
    await gone(group!);
  });

  it('ends one that does not listen', async () => {
    const file = script('deaf', 'trap "" TERM; echo $$; while :; do sleep 0.1; done');
    const { problem, output } = await run(file, { env: ENV, timeoutMs: 300 });
    assert.equal(problem, 'did not end within 0.3 s');
    await gone(Number(output));
  });

  it('does not wait for a child that was left behind with its pipes open', async () => {
    const file = script('leaves', 'sleep 1000 & echo $!');
    const { problem, output } = await run(file, { env: ENV, timeoutMs: 60_000 });
    assert.equal(problem, undefined);
    process.kill(Number(output), 'SIGKILL');
  });

  it('tells the process while it runs, so that it can be ended from outside', async () => {
    const told: (number | undefined)[] = [];
    const { problem } = await run(script('runs', 'exec sleep 1000'), {
      env: ENV,
      timeoutMs: 60_000,
      onProcess: (pid) => {
        told.push(pid);
        if (pid !== undefined) setImmediate(killGroup, pid, 'SIGKILL');
      },
    });
    assert.equal(problem, 'ended by SIGKILL');
    assert.deepEqual([typeof told[0], told[1], told.length], ['number', undefined, 2]);
  });
});

describe('running a program, as the addon sees it', () => {
  const silent = { output: new Uint8Array(), errors: new Uint8Array() };

  it('leaves one alone that can not even be killed', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const native = new MemoryNative();
    let signals: readonly number[] = [];
    const started = new Promise<void>((resolve) => {
      native.programs.set('stuck', (program) => {
        signals = program.signals;
        resolve();
      });
    });
    const told: (number | undefined)[] = [];
    const outcome = run('stuck', {
      env: ENV,
      timeoutMs: 5000,
      native,
      onProcess: (pid) => told.push(pid),
    });
    await started;
    t.mock.timers.tick(4999);
    assert.deepEqual(signals, []);
    const { SIGTERM, SIGKILL } = os.constants.signals;
    t.mock.timers.tick(1);
    assert.deepEqual(signals, [SIGTERM]);
    t.mock.timers.tick(1000);
    assert.deepEqual(signals, [SIGTERM, SIGKILL]);
    t.mock.timers.tick(1000);
    assert.deepEqual(await outcome, { problem: 'did not end within 5 s', output: '', errors: '' });
    assert.equal(told[1], undefined);
  });

  it('says what a program said that ended late', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const native = new MemoryNative();
    let end: () => void = () => {};
    const started = new Promise<void>((resolve) => {
      native.programs.set('late', (program) => {
        end = () =>
          program.end({
            reason: 'exit',
            status: 0,
            output: Buffer.from('bye'),
            errors: new Uint8Array(),
          });
        resolve();
      });
    });
    const outcome = run('late', { env: ENV, timeoutMs: 100, native });
    await started;
    t.mock.timers.tick(100);
    end();
    assert.deepEqual(await outcome, {
      problem: 'did not end within 0.1 s',
      output: 'bye',
      errors: '',
    });
  });

  it('knows signals that have no name', async () => {
    const native = new MemoryNative();
    native.programs.set('real-time', (program) =>
      program.end({ reason: 'signal', signal: 40, ...silent }),
    );
    const { problem } = await run('real-time', { env: ENV, timeoutMs: 10_000, native });
    assert.equal(problem, 'ended by signal 40');
  });

  it('does not reject when there is no thread to be had', async () => {
    const native = {
      startProgram: () => {
        throw nativeError('EAGAIN', 'pthread_create', 'true');
      },
    };
    const { problem } = await run('true', { env: ENV, timeoutMs: 10_000, native });
    assert.match(problem ?? '', /EAGAIN/);
  });
});

describe('the executables of a folder', () => {
  it(
    'are its executable files in name order, without what editors and packages leave ' + 'behind',
    async () => {
      const own = fs.mkdtempSync(path.join(folder, 'list-'));
      const put = (name: string, mode = 0o755): void => {
        fs.writeFileSync(path.join(own, name), '');
        fs.chmodSync(path.join(own, name), mode);
      };
      for (const name of [
        '20-b',
        '10-a',
        'z.sh',
        '.hidden',
        'a~',
        'a.bak',
        'a.dpkg-old',
        'a.rpmsave',
        'a.swp',
      ])
        put(name);
      put('readme', 0o644);
      put('shared', 0o775);
      put('open', 0o757);
      fs.mkdirSync(path.join(own, 'folder'));
      fs.symlinkSync('10-a', path.join(own, '30-link'));
      fs.symlinkSync('nowhere', path.join(own, 'dangling'));
      fs.symlinkSync('circle', path.join(own, 'circle'));
      const found = listExecutables(own);
      assert.deepEqual(await findExecutables(own), found);
      const { files } = found;
      const refused = [...found.refused];
      assert.deepEqual(
        files.map((file) => path.relative(own, file)),
        ['10-a', '20-b', '30-link', 'z.sh'],
      );
      assert.match(refused.shift() ?? '', /circle: ELOOP/);
      assert.deepEqual(refused, [
        `${path.join(own, 'open')}: others may write to it`,
        `${path.join(own, 'shared')}: others may write to it`,
      ]);
    },
  );

  it('are none where there is no folder, and an error where it can not be read', async () => {
    const none = { files: [], refused: [] };
    const nowhere = path.join(folder, 'nowhere');
    assert.deepEqual([listExecutables(nowhere), await findExecutables(nowhere)], [none, none]);
    const file = script('file', '');
    const { files, refused } = listExecutables(file);
    assert.match(refused[0] ?? '', /ENOTDIR/);
    assert.deepEqual(files, []);
    assert.match((await findExecutables(file)).refused[0] ?? '', /ENOTDIR/);
  });
});
