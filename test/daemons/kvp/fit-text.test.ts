import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { fitText, joinFitting } from '../../../daemons/kvp/fit-text.ts';

describe('fitText', () => {
  const cases: [name: string, text: string, units: number, bytes: number, expected: string][] = [
    ['what fits stays', 'abc', 3, 3, 'abc'],
    ['units count', 'abcd', 3, 100, 'abc'],
    ['bytes count', 'éé', 10, 3, 'é'],
    ['a pair of surrogates stays whole', 'a😀b', 2, 100, 'a'],
    ['a pair that just fits', 'a😀b', 3, 100, 'a😀'],
    ['four bytes do not fit in three', '😀', 10, 3, ''],
    ['nothing fits in nothing', 'a', 0, 0, ''],
  ];
  for (const [name, text, units, bytes, expected] of cases) {
    it(name, () => assert.equal(fitText(text, { units, bytes }), expected));
  }

  it('is the longest beginning within both limits', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.nat(20), fc.nat(40), (text, units, bytes) => {
        const fits = (part: string) => part.length <= units && Buffer.byteLength(part) <= bytes;
        const beginnings = [...text].map((_, i, all) => all.slice(0, i + 1).join(''));
        const longest = beginnings.filter(fits).at(-1) ?? '';
        assert.equal(fitText(text, { units, bytes }), longest);
      }),
    );
  });
});

describe('joinFitting', () => {
  it('joins by semicolons', () => assert.equal(joinFitting(['a', 'b'], 3), 'a;b'));
  it('keeps whole items only', () =>
    assert.equal(joinFitting(['10.0.0.1', '10.0.0.2'], 16), '10.0.0.1'));
  it('is empty when the first does not fit', () => assert.equal(joinFitting(['10.0.0.1'], 7), ''));
  it('is empty for nothing', () => assert.equal(joinFitting([], 7), ''));
});
