import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runScript } from './tree.ts';

const SCRIPTS = [
  'bench.mjs',
  'build.mjs',
  'check.mjs',
  'check-columns.mjs',
  'check-imports.mjs',
  'check-size.mjs',
  'clang-format.mjs',
  'clang-tidy.mjs',
  'coverage.mjs',
  'dev.mjs',
  'explain-stack.mjs',
  'setup.mjs',
  'test.mjs',
  '../packaging/deb.mjs',
  '../packaging/rpm.mjs',
  '../packaging/tree.mjs',
];

for (const script of SCRIPTS) {
  test(`${script} refuses an unknown option with its usage and status 2`, () => {
    const { status, stdout, stderr } = runScript(script, '--no-such-option');
    assert.match(stderr, /^Unknown option '--no-such-option'.*\nusage: /);
    assert.equal(stdout, '');
    assert.equal(status, 2);
  });

  test(`${script} prints its usage`, () => {
    const { status, stdout, stderr } = runScript(script, '--help');
    assert.match(stdout, /^usage: /);
    assert.equal(stderr, '');
    assert.equal(status, 0);
  });
}
