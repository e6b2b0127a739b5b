import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Stop } from '../../runtime/stop.ts';

const A_DAY_MS = 86_400_000;

describe('request to stop', () => {
  it('wakes what waits last', () => {
    const stop = new Stop();
    const woken: string[] = [];
    stop.onRequest(() => woken.push('first'));
    stop.onRequest(() => woken.push('second'));
    assert.equal(stop.isRequested, false);
    stop.request();
    assert.equal(stop.isRequested, true);
    assert.deepEqual(woken, ['second']);
  });

  it('ends a pause, and lets none begin afterwards', async () => {
    const stop = new Stop();
    const pause = stop.pause(A_DAY_MS);
    stop.request();
    await pause;
    await stop.pause(A_DAY_MS);
  });

  it('leaves a pause alone that nobody ends', async () => {
    const stop = new Stop();
    await stop.pause(1);
    assert.equal(stop.isRequested, false);
  });
});
