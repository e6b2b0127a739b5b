import assert from 'node:assert/strict';
import { test } from 'node:test';
import { repetitions } from '../repetitions.ts';
import { killDuringChanges, tell } from './kill.ts';
import { missingReference } from './reference.ts';

const skip = missingReference() ?? false;
const KILLS = repetitions({ all: 100, part: 20 });

for (const count of [10, 100, 1000]) {
  test(`${KILLS} kills with -9 during changes of ${count} records`, async (t) => {
    const tally = await killDuringChanges('vmic', count, KILLS);
    t.diagnostic(tell('vmic', count, KILLS, tally));
    assert.deepEqual(tally.faults, []);
  });
}

test('the same kills of the C daemon, for comparison', { skip }, async (t) => {
  for (const count of [10, 100, 1000]) {
    const tally = await killDuringChanges('c', count, KILLS);
    t.diagnostic(tell('C daemon', count, KILLS, tally));
    assert.ok(tally.changes > 0);
  }
});
