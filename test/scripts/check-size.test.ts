import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { check } from './tree.ts';

const lines = (count: number, line = '  0;'): string => `${line}\n`.repeat(count);
const ctags = spawnSync('ctags', ['--list-features'], { encoding: 'utf8' }).stdout ?? '';
const noCtags = /^json /m.test(ctags) ? false : 'universal-ctags with JSON is not installed';

/** Definition that is too long -> the file that holds it. */
const long: Readonly<Record<string, string>> = {
  declared: `function declared() {\n${lines(119)}}\n`,
  arrow: `export const arrow = () => {\n${lines(119)}};\n`,
  Whole: `class Whole {\n${lines(119, '  a = 0;')}}\n`,
  method: `class Part {\n  method() {\n${lines(119)}  }\n}\n`,
  property: `class Part {\n  property = () => {\n${lines(119)}  };\n}\n`,
  inTable: `const table = {\n  inTable() {\n${lines(119)}  },\n};\n`,
  Shape: `interface Shape {\n${lines(119, '  a: 0;')}}\n`,
  'a test': `test('a test', () => {\n${lines(119)}});\n`,
  text: `const text = \`\n${lines(119)}\`;\n`,
};

/** Names of what is listed as too long, without the line of the enclosing class. */
const namesIn = (output: readonly string[]): (string | undefined)[] =>
  output.map((line) => /^TOO LONG +\d+ {2}\S+:\d+ (.*)$/.exec(line)?.[1]).filter(Boolean);

for (const [name, text] of Object.entries(long)) {
  test(`a definition of 121 lines is too long (${name})`, () => {
    const { status, lines: output } = check(
      'check-size.mjs',
      new Map([['runtime/a.ts', text]]),
      '--quiet',
    );
    assert.ok(namesIn(output).includes(name), output.join('\n'));
    assert.equal(status, 1);
  });
}

test('a definition of 121 lines is too long (Python)', () => {
  const text = `def outer():\n${lines(120, '    a = 0')}`;
  const { status, lines: output } = check('check-size.mjs', new Map([['a.py', text]]), '--quiet');
  assert.deepEqual(namesIn(output), ['outer']);
  assert.equal(status, 1);
});

test('a definition of 121 lines is too long (C++, shell)', { skip: noCtags }, () => {
  const files = new Map([
    ['a.cpp', `namespace a {\nint inner() {\n${lines(119)}}\n}  // namespace a\n`],
    ['a.sh', `#!/bin/sh\nfirst() { true; }\nsecond() {\n${lines(119, '\ttrue')}}\n`],
  ]);
  const { status, lines: output } = check('check-size.mjs', files, '--quiet');
  assert.deepEqual(namesIn(output).sort(), ['inner', 'second']);
  assert.equal(status, 1);
});

test('120 lines, long tables, groups of tests and layouts are fine', () => {
  const files = new Map([
    ['runtime/a.ts', `function declared() {\n${lines(118)}}\n`],
    ['runtime/b.ts', `export const table = {\n${lines(500, '  a: 0,')}} as const;\n`],
    ['test/c.test.ts', `describe('a group', () => {\n${lines(200)}});\n`],
    ['protocol/kvp/vmbus.ts', lines(500, 'export {};')],
    ['runtime/d.ts', lines(400, 'export {};')],
  ]);
  const { status, stderr } = check('check-size.mjs', files, '--quiet');
  assert.equal(stderr, '');
  assert.equal(status, 0);
});

test('a file of 401 lines is too long', () => {
  const text = lines(401, 'export {};');
  const paths = ['runtime/a.ts', 'protocol/kvp/other.ts', 'postinst'];
  const shell = `#!/bin/sh\n${lines(400, 'true')}`;
  const { status, lines: output } = check(
    'check-size.mjs',
    new Map(paths.map((path) => [path, path === 'postinst' ? shell : text])),
    '--quiet',
  );
  const found = output.map((line) => /^TOO LONG +401 {2}(\S+):1 $/.exec(line)?.[1]).filter(Boolean);
  assert.deepEqual(found.sort(), [...paths].sort());
  assert.equal(status, 1);
});

test('without --quiet it lists the longest', () => {
  const { status, lines: output } = check(
    'check-size.mjs',
    new Map([['runtime/a.ts', 'function short() {\n  return 0;\n}\n']]),
  );
  assert.deepEqual(
    output.map((line) => line.trim()),
    [
      'Longest definitions, at most 120 lines:',
      '3  runtime/a.ts:1 short',
      'Longest files, without their tables, at most 400 lines:',
      '3  runtime/a.ts:1',
    ],
  );
  assert.equal(status, 0);
});
