import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  failedUnits,
  type Health,
  judge,
  NOTHING_KNOWN,
  parseSystemState,
} from '../../../daemons/heartbeat/health.ts';

describe('what the host is told', () => {
  const cases: readonly (readonly [
    what: string,
    health: Partial<Health>,
    watches: boolean,
    state: string,
  ])[] = [
    ['nothing known', {}, false, 'unknown'],
    ['starting', { system: 'starting' }, false, 'unknown'],
    [
      'starting, whatever fails',
      { system: 'starting', failedUnits: ['a'], failedChecks: ['b'] },
      true,
      'unknown',
    ],
    ['running', { system: 'running' }, false, 'healthy'],
    ['running with a failed check', { system: 'running', failedChecks: ['b'] }, false, 'critical'],
    ['degraded', { system: 'degraded' }, false, 'critical'],
    ['degraded by units nobody watches', { system: 'degraded' }, true, 'healthy'],
    ['degraded by a watched unit', { system: 'degraded', failedUnits: ['a'] }, true, 'critical'],
    ['maintenance', { system: 'maintenance' }, true, 'critical'],
    ['stopping', { system: 'stopping' }, false, 'stopped'],
    ['stopping, whatever fails', { system: 'stopping', failedChecks: ['b'] }, false, 'stopped'],
    ['without systemd, a failed check', { failedChecks: ['b'] }, false, 'critical'],
  ];
  for (const [what, part, watches, state] of cases) {
    it(`${what}: ${state}`, () => {
      const told = judge({ ...NOTHING_KNOWN, ...part }, watches);
      assert.equal(told.state, state);
      assert.equal(
        told.reasons.length > 0,
        state !== 'healthy',
        'every state but healthy has a reason',
      );
    });
  }
});

describe("systemd's words", () => {
  it('for the system', () => {
    for (const [text, state] of [
      ['initializing\n', 'starting'],
      ['starting', 'starting'],
      ['running\n', 'running'],
      ['degraded', 'degraded'],
      ['maintenance', 'maintenance'],
      ['stopping', 'stopping'],
      ['offline', 'unknown'],
      ['', 'unknown'],
      ['something new', 'unknown'],
    ] as const) {
      assert.equal(parseSystemState(text), state, text);
    }
  });

  it('for units: failed, not there, and not answered', () => {
    const text = [
      'LoadState=loaded\nActiveState=active\n',
      'LoadState=loaded\nActiveState=failed\n',
      'LoadState=not-found\nActiveState=inactive\n',
      'ActiveState=inactive\nLoadState=loaded\n',
    ].join('\n');
    assert.deepEqual(failedUnits(['a', 'b', 'c', 'd', 'e'], text), [
      'b: failed',
      'c: not-found',
      'e: nothing known of it',
    ]);
    assert.deepEqual(failedUnits(['a'], ''), ['a: nothing known of it']);
  });
});
