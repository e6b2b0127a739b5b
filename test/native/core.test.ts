import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { native } from '../../native/index.ts';
import { Compiler } from './compiler.ts';

const compiler = new Compiler();
after(() => compiler.remove());

const RING = [
  'test/native/core_ring.cpp',
  'test/native/core_ring_stress.cpp',
  'native/core/ring.cpp',
];
const SINK = ['test/native/core_sink.cpp', 'native/core/sink.cpp'];
const FILE = ['test/native/core_file.cpp', 'native/core/file.cpp'];
const PROCESS = [
  'test/native/core_process.cpp',
  'test/native/core_process_support.cpp',
  'native/core/birth.cpp',
  'native/core/process.cpp',
];
const ASAN = ['-fsanitize=address,undefined', '-fno-sanitize-recover=all'];
// Barriers that stand alone are outside of what the thread sanitizer models, so it warns about
// them.
const TSAN = ['-fsanitize=thread', '-Wno-tsan'];
const seed = String(Date.now() % 1_000_000);

describe('ring core under address and undefined-behaviour sanitizers', {
  skip: compiler.missing(ASAN) ?? false,
}, () => {
  const program = compiler.missing(ASAN) ? '' : compiler.build('ring-asan', ASAN, RING);
  const passes = (...parameters: string[]): void => {
    const ran = compiler.run(program, parameters);
    assert.equal(ran.status, 0, `core_ring ${parameters.join(' ')}: ${ran.output}`);
  };
  it('lays out, reads, wraps, signals, fills, and refuses what is malformed', () => passes('unit'));
  it(`survives 500,000 rounds of hostile memory (seed ${seed})`, () =>
    passes('fuzz', '500000', seed));
  for (const slow of ['neither', 'writer', 'reader']) {
    it(
      `loses nothing in 1,000,000 packets between two threads, slow: ${slow} (seed ` + `${seed})`,
      () => {
        passes('stress', '1000000', seed, slow);
      },
    );
  }
});

describe('sinks under address and undefined-behaviour sanitizers', {
  skip: compiler.missing(ASAN) ?? false,
}, () => {
  it(`recognise the next part, and write it, in 10,000 random cases (seed ${seed})`, () => {
    const ran = compiler.run(compiler.build('sink-asan', ASAN, SINK), ['10000', seed]);
    assert.equal(ran.status, 0, ran.output);
  });
});

describe('ring core without sanitizers, at full speed', {
  skip: compiler.missing(['-O2']) ?? false,
}, () => {
  for (const slow of ['neither', 'writer', 'reader']) {
    it(
      `loses nothing in 3,000,000 packets between two threads, slow: ${slow} (seed ` + `${seed})`,
      () => {
        const ran = compiler.run(compiler.build('ring', ['-O2'], RING), [
          'stress',
          '3000000',
          seed,
          slow,
        ]);
        assert.equal(ran.status, 0, ran.output);
      },
    );
  }
});

describe('ring core under the thread sanitizer', { skip: compiler.missing(TSAN) ?? false }, () => {
  it(`has no race in 1,000,000 packets between two threads (seed ${seed})`, () => {
    const ran = compiler.run(compiler.build('ring-tsan', TSAN, RING), ['stress', '1000000', seed]);
    assert.equal(ran.status, 0, ran.output);
  });
});

/** The thread sanitizer's own clone takes our child for a fork, and forgets about threads. */
const OWN_CLONE = ['-include', 'sched.h', '-Dclone=__clone'];
for (const [name, flags] of [
  ['address and undefined-behaviour sanitizers', ASAN],
  ['the thread sanitizer', [...TSAN, ...OWN_CLONE]],
] as const) {
  describe(`starting programs under ${name}`, { skip: compiler.missing(flags) ?? false }, () => {
    const program = compiler.missing(flags)
      ? ''
      : compiler.build(`process-${flags.length}`, flags, PROCESS);
    const passes = (...parameters: string[]): void => {
      const ran = compiler.run(program, parameters);
      assert.equal(ran.status, 0, `core_process ${parameters.join(' ')}: ${ran.output}`);
    };
    it('gives them what they are to have and nothing else, and tells how they ended', () =>
      passes('unit'));
    it('works without standard descriptors', () => passes('bare'));
    it('works where neither pidfd_open nor close_range is known', () => passes('old'));
    it('waits for no disk that never gives the file to execute, and can end such a process', () =>
      passes('hung'));
    it(`leaves nothing behind when they are let go of at any moment (seed ${seed})`, () =>
      passes('races', '500', seed));
  });
}

describe('changes of files under kill -9', { skip: compiler.missing([]) ?? false }, () => {
  const program = compiler.missing([]) ? '' : compiler.build('file', [], FILE);
  const path = join(compiler.folder, 'pool');

  /** Kills the program at some moment of its work, then returns the file as it was left. */
  async function killed(mode: string, bytes: number): Promise<Buffer> {
    const child = spawn(program, [mode, path, String(bytes)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const closed = once(child, 'close');
    await Promise.race([once(child.stdout, 'data'), closed]);
    await sleep(Math.random() * 3);
    child.kill('SIGKILL');
    const [, signal] = await closed;
    assert.equal(signal, 'SIGKILL', `${mode} ended by itself`);
    const fd = openSync(path, 'r+');
    // The lock is free once the change that was under way is done.
    while (!native.tryLock(fd, 'exclusive')) await sleep(1);
    closeSync(fd);
    return readFileSync(path);
  }

  async function countTorn(
    mode: 'whole' | 'plain',
    bytes: number,
    rounds: number,
  ): Promise<number> {
    writeFileSync(path, Buffer.alloc(2000 + bytes, 'A'));
    let torn = 0;
    for (let round = 0; round < rounds; round += 1) {
      const file = await killed(mode, bytes);
      assert.equal(file.length, 2000 + bytes);
      const body = file.subarray(2000);
      if (!body.every((byte) => byte === body[0])) torn += 1;
    }
    return torn;
  }

  it('writeWhole never leaves a mixed record that crosses a page (300 kills)', async () => {
    assert.equal(await countTorn('whole', 2560, 300), 0);
  });

  it('writeWhole never leaves a mixed 256 KiB (50 kills)', async () => {
    assert.equal(await countTorn('whole', 256 * 1024, 50), 0);
  });

  it('plain pwrite does, so the two tests above can fail', async () => {
    let torn = 0;
    for (let attempt = 0; attempt < 20 && torn === 0; attempt += 1)
      torn += await countTorn('plain', 256 * 1024, 10);
    assert.ok(torn > 0);
  });

  it('both do without a child where there can be none', () => {
    writeFileSync(path, '');
    const ran = compiler.run(compiler.build('file-childless', ['-Dclone=refusedClone'], FILE), [
      'once',
      path,
      '10000',
    ]);
    assert.equal(ran.status, 0, ran.output);
    assert.equal(readFileSync(path, 'latin1'), 'A'.repeat(9999));
  });

  it('removeRange never leaves a torn, doubled or missing record (200 kills)', async () => {
    const records = 100;
    const start = Buffer.alloc(records * 2560);
    for (let at = 0; at < start.length; at += 2) start.writeUInt16LE(Math.floor(at / 2560), at);
    writeFileSync(path, start);
    for (let round = 0; round < 200; round += 1) {
      const file = await killed('remove', 0);
      assert.ok(
        file.length === start.length || file.length === start.length - 2560,
        `${file.length} bytes`,
      );
      const first = file.readUInt16LE(0);
      for (let at = 0; at < file.length; at += 2) {
        const expected = (first + Math.floor(at / 2560)) % 65_536;
        if (file.readUInt16LE(at) !== expected) {
          assert.fail(
            `round ${round}, byte ${at}: record ${file.readUInt16LE(at)} where ${expected} belongs`,
          );
        }
      }
      // A kill between the two changes left one record less: put it back, as the program expects.
      if (file.length < start.length) {
        const next = Buffer.alloc(2560);
        for (let at = 0; at < 2560; at += 2) next.writeUInt16LE((first + records - 1) % 65_536, at);
        writeFileSync(path, Buffer.concat([file, next]));
      }
    }
  });
});
