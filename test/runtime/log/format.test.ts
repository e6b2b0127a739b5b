import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { decorate } from '../../../runtime/log/format.ts';

describe('log', () => {
  it('is readable on a terminal, and safe against what a host sends', () => {
    const line = JSON.stringify({
      level: 'warning',
      priority: 4,
      time: '2026-01-02T03:04:05.678Z',
      name: 'x',
      message: 'Key "a"',
      key: '\u001b[2J\u009b',
    });
    assert.equal(
      decorate(`${line}\n`, 'terminal'),
      '03:04:05.678 x warning  Key "a" key="\\u001b[2J\\u009b"\n',
    );
  });
});
