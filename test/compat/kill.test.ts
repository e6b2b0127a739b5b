import assert from 'node:assert/strict';
import { test } from 'node:test';
import { killDuringChanges, tell } from './kill.ts';

const KILLS = 5;

for (const count of [10, 100, 1000]) {
  test(`${KILLS} kills with -9 during changes of ${count} records`, async (t) => {
    const tally = await killDuringChanges('vmic', count, KILLS);
    t.diagnostic(tell('vmic', count, KILLS, tally));
    assert.deepEqual(tally.faults, []);
  });
}
