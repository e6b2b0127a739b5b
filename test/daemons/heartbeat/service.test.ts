import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { NOTHING_KNOWN } from '../../../daemons/heartbeat/health.ts';
import { HeartbeatService } from '../../../daemons/heartbeat/service.ts';

function make(watchesUnits = false) {
  const lines: string[] = [];
  const log = {
    notice: (message: string, fields?: object) =>
      void lines.push(`notice ${message} ${JSON.stringify(fields)}`),
    warning: (message: string, fields?: object) =>
      void lines.push(`warning ${message} ${JSON.stringify(fields)}`),
  };
  let closed = 0;
  const service = new HeartbeatService(watchesUnits, log, () => closed++);
  return { service, lines, closed: () => closed };
}

describe('the heartbeat service', () => {
  it('answers with the next sequence and the state it knows', () => {
    const { service } = make();
    assert.deepEqual(service.handle({ sequence: 1n }), {
      status: 0,
      sequence: 2n,
      applicationState: 'unknown',
    });
    service.update({ ...NOTHING_KNOWN, system: 'running' });
    assert.deepEqual(service.handle({ sequence: 7n }), {
      status: 0,
      sequence: 8n,
      applicationState: 'healthy',
    });
  });

  it('counts from the last sequence to 0, as the kernel does', () => {
    const { service } = make();
    assert.equal(service.handle({ sequence: 2n ** 64n - 1n }).sequence, 0n);
  });

  it('logs changes, with their reasons, and nothing else', () => {
    const { service, lines } = make();
    const broken = {
      ...NOTHING_KNOWN,
      system: 'running',
      failedChecks: ['app: exit status 1'],
    } as const;
    for (const health of [
      broken,
      broken,
      { ...broken, failedChecks: [] },
      { ...broken, failedChecks: [] },
    ]) {
      service.update(health);
    }
    assert.deepEqual(lines, [
      'warning The application state changed {"state":"critical","reasons":["app: exit status 1"]}',
      'notice The application state changed {"state":"healthy"}',
    ]);
  });

  it('gives up what it was made with', () => {
    const { service, closed } = make();
    service.close();
    assert.equal(closed(), 1);
  });
});
