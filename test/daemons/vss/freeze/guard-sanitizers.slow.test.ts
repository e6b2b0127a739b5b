/**
 * The guard's own tests once more, with the guard under sanitizers, which end it at the first thing
 * wrong.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { after, test } from 'node:test';
import { missingScratch } from '../../../../simulator/stages/scratch.ts';
import { Compiler } from '../../../native/compiler.ts';

const compiler = new Compiler();
after(() => compiler.remove());

const SOURCES = fs
  .readdirSync('native/guard')
  .filter((name) => name.endsWith('.cpp'))
  .map((name) => path.join('native/guard', name));

const SANITIZERS = {
  'address and undefined-behaviour': ['-fsanitize=address,undefined', '-fno-sanitize-recover=all'],
  thread: ['-fsanitize=thread', '-Wno-tsan'],
};

const TESTS = ['guard', 'guard-record', 'guard-places'].map(
  (name) => `test/daemons/vss/freeze/${name}.test.ts`,
);

for (const [name, flags] of Object.entries(SANITIZERS)) {
  test(`the guard under the ${name} sanitizer`, {
    skip: missingScratch() ?? compiler.missing(flags) ?? false,
  }, () => {
    const folder = path.join(compiler.folder, name.slice(0, 7));
    fs.mkdirSync(folder);
    const built = compiler.build(
      'guard',
      [...flags, '-fno-exceptions', '-fno-rtti'],
      [...SOURCES, 'native/core/errno_name.cpp'],
    );
    const program = path.join(folder, 'sanitized');
    fs.renameSync(built, program);
    // It starts with an empty environment. Its understudy is a fork of a process with threads; it
    // ends without freeing anything.
    const wrapper = path.join(folder, 'vmic-vss-guard');
    const options = 'TSAN_OPTIONS=die_after_fork=0:halt_on_error=1 ASAN_OPTIONS=detect_leaks=0';
    fs.writeFileSync(wrapper, `#!/bin/sh\nexec env ${options} '${program}' "$@"\n`, {
      mode: 0o755,
    });
    const { NODE_TEST_CONTEXT: _, ...environment } = process.env;
    const { status, stdout } = spawnSync(
      process.execPath,
      ['--import', 'tsx', '--test', ...TESTS],
      {
        env: { ...environment, VMIC_TEST_GUARD: wrapper },
        encoding: 'utf8',
      },
    );
    assert.equal(status, 0, stdout);
  });
}
