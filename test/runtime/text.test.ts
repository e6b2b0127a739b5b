import assert from 'node:assert/strict';
import { test } from 'node:test';
import { printable, wrap } from '../../runtime/text.ts';

for (const [what, text, shown] of [
  ['ordinary text', 'Grüße, 世界 🚀 C:\\dir', 'Grüße, 世界 🚀 C:\\dir'],
  ['line ends and tabs', 'a\r\nb\tc', 'a\\r\\nb\\tc'],
  ['an escape sequence', '\x1b[31mred\x07', '\\x1b[31mred\\x07'],
  ['a C1 control sequence introducer', '\u009b2J', '\\x9b2J'],
  ['text that reverses what follows', 'a\u202egpj.exe', 'a\\u{202e}gpj.exe'],
  ['invisible characters', 'a\u200bb\ufeff', 'a\\u{200b}b\\u{feff}'],
  ['a line separator', 'a\u2028b', 'a\\u{2028}b'],
  ['a lone surrogate', 'a\ud800b', 'a\\u{d800}b'],
  ['a tag character beyond 16 bits', '\u{e0041}', '\\u{e0041}'],
] as const) {
  test(`${what} is shown without controlling the terminal`, () =>
    assert.equal(printable(text), shown));
}

test('lines are broken between words, and a word that is too long stays whole', () => {
  assert.deepEqual(wrap('one two  three\nfour', { columns: 8 }), ['one two', 'three', 'four']);
  assert.deepEqual(wrap('one two', { columns: 8, indent: '  ' }), ['  one', '  two']);
  assert.deepEqual(wrap('a incomprehensible b', { columns: 6 }), ['a', 'incomprehensible', 'b']);
  assert.deepEqual(wrap(' ', { columns: 6 }), []);
});
