import assert from 'node:assert/strict';
import { test } from 'node:test';
import { killDuringCopies, tellKills } from './fcopy-kill.ts';

const KILLS = 12;

for (const link of ['device', 'ring'] as const) {
  test(`${KILLS} kills with -9 while files arrive over the ${link}`, async (t) => {
    const tally = await killDuringCopies('vmic', link, KILLS);
    t.diagnostic(tellKills('vmic', link, KILLS, tally));
    assert.deepEqual(tally.faults, []);
  });
}
