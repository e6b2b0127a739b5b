import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseOsRelease } from '../../../daemons/kvp/os-release.ts';

const cases: [name: string, line: string, expected: string | undefined][] = [
  ['bare', 'X=debian', 'debian'],
  ['double quotes', 'X="Debian GNU/Linux"', 'Debian GNU/Linux'],
  ['single quotes', "X='Fancy OS'", 'Fancy OS'],
  ['empty', 'X=', ''],
  ['empty quotes', 'X=""', ''],
  ['escapes in double quotes', 'X="a\\"b\\\\c\\$d\\`e"', 'a"b\\c$d`e'],
  ['a backslash before anything else stays', 'X="a\\nb"', 'a\\nb'],
  ['a backslash outside quotes', 'X=a\\ b', 'a b'],
  ['no escapes in single quotes', "X='a\\b'", 'a\\b'],
  ['pieces side by side', 'X="a"\'b\'c', 'abc'],
  ['spaces around the line', '  X=1  ', '1'],
  ['carriage returns', 'X=1\r', '1'],
  ['a second word is not part of it', 'X=1 2', '1'],
  ['an open quote', 'X="abc', 'abc'],
  ['an equals sign in the value', 'X=a=b', 'a=b'],
  ['letters beyond ASCII', 'X="Größe ✓"', 'Größe ✓'],
  ['a comment', '#X=1', undefined],
  ['no name', '=1', undefined],
  ['a bad name', '1X=1', undefined],
];

describe('os-release', () => {
  for (const [name, line, expected] of cases) {
    it(`reads ${name}`, () =>
      assert.equal(parseOsRelease(`A=1\n${line}\nB=2\n`).get('X'), expected));
  }

  it('takes the last of several assignments, and lines without an end', () => {
    assert.deepEqual([...parseOsRelease('NAME=a\n\nNAME=b')], [['NAME', 'b']]);
  });
});
