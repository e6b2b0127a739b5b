import assert from 'node:assert/strict';
import { test } from 'node:test';
import { check } from './tree.ts';

const words = (columns: number): string =>
  'ab '
    .repeat(columns)
    .slice(0, columns - 1)
    .concat('.');
const address = `https://example.org/${'a'.repeat(100)}`;

/** [file, its line, whether it is refused] */
const table: readonly [string, string, boolean][] = [
  ['a.ts', words(100), false],
  ['b.ts', words(101), true],
  ['c.cpp', `// ${words(98)}`, true],
  ['d.py', `# ${words(99)}`, true],
  ['e.service', `# ${words(99)}`, true],
  ['f.rules', `KERNEL=="a", ${words(90)}`, true],
  ['g.8', words(101), true],
  ['h.toml', words(101), true],
  ['postinst', words(101), true],
  ['tab.sh', `\t${words(96)}`, false],
  ['tab.py', `\t${words(97)}`, true],
  ['tab.c', `\t${words(92)}`, false],
  ['wide-tab.c', `\t${words(93)}`, true],
  ['i.md', words(101), true],
  ['j.md', `| ${words(120)} |`, false],
  ['k.md', `[name]: ${address}`, false],
  ['l.md', `- ${address}`, false],
  ['m.md', `See ${address}`, true],
  ['n.ts', `// ${address}`, false],
  ['o.ts', `   * ${address}`, false],
  ['p.ts', `const a = '${address}';`, true],
  ['q.ts', `    x64: '${address}',`, false],
  ['r.json', `{ "a": "${words(120)}" }`, false],
  ['s.trace', words(120), false],
  // Code points count, not UTF-16 units.
  ['t.md', `${'😀'.repeat(50)} ${words(49)}`, false],
  ['u.c', `\t${words(92)}`, false],
  ['v.c', `\t${words(93)}`, true],
];

test('lines of more than 100 columns are refused, unless nothing in them can move', () => {
  const files = new Map(table.map(([path, line]) => [path, `short\n${line}\nshort\n`]));
  const { status, lines } = check('check-columns.mjs', files);
  assert.equal(status, 1);
  assert.deepEqual(
    lines.map((line) => /^(.*):2: \d+ columns, at most 100$/.exec(line)?.[1]),
    table.filter(([, , refused]) => refused).map(([path]) => path),
  );
});

test('files whose lines fit are accepted without a word', () => {
  const fitting = table.filter(([, , refused]) => !refused);
  const { status, stderr } = check(
    'check-columns.mjs',
    new Map(fitting.map(([path, line]) => [path, `${line}\n`])),
  );
  assert.equal(stderr, '');
  assert.equal(status, 0);
});
