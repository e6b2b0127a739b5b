import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  parseTrace,
  printTrace,
  printTraceEntry,
  TraceError,
} from '../../../protocol/trace/trace.ts';

const TEXT = `# service: kvp
# scenario: made up, with a colon: here
h2g 0 101 0100ff
g2h 12 ffffffffffffffff aa${'00'.repeat(16)}bb
# note: what comes next
h2g 3 0 ${'00'.repeat(15)}
`;

describe('a trace', () => {
  test('is parsed', () => {
    assert.deepEqual(parseTrace(TEXT), {
      header: [
        ['service', 'kvp'],
        ['scenario', 'made up, with a colon: here'],
      ],
      entries: [
        {
          kind: 'packet',
          direction: 'h2g',
          delayMs: 0,
          transactionId: 0x101n,
          payload: Uint8Array.of(1, 0, 255),
        },
        {
          kind: 'packet',
          direction: 'g2h',
          delayMs: 12,
          transactionId: 2n ** 64n - 1n,
          payload: Uint8Array.of(0xaa, ...new Array<number>(16).fill(0), 0xbb),
        },
        { kind: 'note', text: 'what comes next' },
        {
          kind: 'packet',
          direction: 'h2g',
          delayMs: 3,
          transactionId: 0n,
          payload: new Uint8Array(15),
        },
      ],
    });
    assert.deepEqual(parseTrace(''), { header: [], entries: [] });
  });

  test('prints to the same text, with runs of 16 zeros and more shortened when asked for', () => {
    assert.equal(printTrace(parseTrace(TEXT)), TEXT);
    const short = TEXT.replace('00'.repeat(16), '(00*16)');
    assert.equal(printTrace(parseTrace(TEXT), { zeroRuns: true }), short);
    assert.equal(printTrace(parseTrace(short)), TEXT);
    const [packet] = parseTrace('h2g 0 1 (00*3)ff(00*2)\n').entries;
    assert.equal(printTraceEntry(packet!), 'h2g 0 1 000000ff0000');
  });

  test('the last line break may be missing', () => {
    assert.deepEqual(parseTrace(TEXT.trimEnd()), parseTrace(TEXT));
  });

  test('what is none is refused by line', () => {
    const head = '# service: kvp\n';
    const cases: [string, number, string][] = [
      [
        `${head}\n`,
        2,
        'expected direction, milliseconds, transaction id and payload, got 1 fields',
      ],
      [
        `${head}h2g 0 1\n`,
        2,
        'expected direction, milliseconds, transaction id and payload, got 3 fields',
      ],
      [`${head}h2h 0 1 00\n`, 2, 'direction: expected h2g or g2h, got "h2h"'],
      [`${head}h2g -1 1 00\n`, 2, 'milliseconds: expected a whole number, got "-1"'],
      [
        `${head}h2g 99999999999999999999 1 00\n`,
        2,
        'milliseconds: expected a whole number, got "99999999999999999999"',
      ],
      [`${head}h2g 0 xyz 00\n`, 2, 'transaction id: expected up to 16 hex digits, got "xyz"'],
      [
        `${head}h2g 0 10000000000000000 00\n`,
        2,
        'transaction id: expected up to 16 hex digits, got "10000000000000000"',
      ],
      [`${head}h2g 0 1 000\n`, 2, 'payload: expected pairs of hex digits and (00*N), got "000"'],
      [`${head}h2g 0 1 0g\n`, 2, 'payload: expected pairs of hex digits and (00*N), got "0g"'],
      [`${head}h2g 0 1 AA\n`, 2, 'payload: expected pairs of hex digits and (00*N), got "AA"'],
      [
        `${head}h2g 0 1 (00*x)\n`,
        2,
        'payload: expected pairs of hex digits and (00*N), got "(00*x)"',
      ],
      [`${head}h2g 0 1 \n`, 2, 'payload: empty'],
      [`${head}h2g 0 1 (00*524281)\n`, 2, 'payload: a packet has at most 524280 bytes, got 524281'],
      [`${head}h2g 0 1 00\r\n`, 2, 'payload: expected pairs of hex digits and (00*N), got "00\\r"'],
      [`h2g 0 1 00\n${head}`, 2, '"service" belongs before the first packet'],
      [`${head}${head}`, 2, '"service" is there twice'],
      [`${head}#note: x\n`, 2, 'expected "# key: value"'],
    ];
    for (const [text, line, problem] of cases) {
      assert.throws(
        () => parseTrace(text),
        (error) =>
          error instanceof TraceError &&
          error.line === line &&
          error.message === `line ${line}: ${problem}`,
        `${JSON.stringify(text)} -> ${problem}`,
      );
    }
    // A size that no packet has is refused before memory is asked for
    assert.throws(() => parseTrace('h2g 0 1 (00*9999999999)\n'), TraceError);
  });

  test('is not printed with a line break in it', () => {
    assert.throws(() => printTrace({ header: [['a', 'x\ny']], entries: [] }), TraceError);
  });
});
