import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { HOST_LOG_BURST, HOST_LOG_INTERVAL_MS, limitLog } from '../../../runtime/log/limit.ts';
import { type Fields, levels } from '../../../runtime/log.ts';

describe('limited log', () => {
  const record = () => {
    const lines: [string, string, (Fields | undefined)?][] = [];
    let now = 0;
    const log = limitLog(
      levels((...line) => lines.push(line)),
      () => now,
    );
    return { log, lines, advance: (ms: number) => (now += ms) };
  };

  it('lets a burst through, then one line an interval that counts the others', () => {
    const { log, lines, advance } = record();
    for (let i = 0; i < 1000; i++) log.warning('bad', { i });
    assert.equal(lines.length, HOST_LOG_BURST);
    advance(HOST_LOG_INTERVAL_MS);
    log.warning('bad', { i: 'x' });
    log.warning('bad');
    assert.equal(lines.length, HOST_LOG_BURST + 1);
    assert.deepEqual(lines.at(-1), [
      'warning',
      'bad',
      { i: 'x', suppressedBefore: 1000 - HOST_LOG_BURST },
    ]);
  });

  it('limits each kind for itself, and has a full burst again after a while', () => {
    const { log, lines, advance } = record();
    for (let i = 0; i < 10; i++) log.info('a');
    log.error('b');
    assert.equal(lines.length, HOST_LOG_BURST + 1);
    advance(HOST_LOG_INTERVAL_MS * 100);
    lines.length = 0;
    for (let i = 0; i < 10; i++) log.info('a');
    assert.equal(lines.length, HOST_LOG_BURST);
  });
});
