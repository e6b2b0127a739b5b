import assert from 'node:assert/strict';
import { test } from 'node:test';
import { repetitions } from '../repetitions.ts';
import { killDuringCopies, tellKills } from './fcopy-kill.ts';
import { missingFcopyReference } from './reference.ts';

const missing = missingFcopyReference();
const KILLS = repetitions({ all: 250, part: 50 });

for (const link of ['device', 'ring'] as const) {
  test(`${KILLS} kills with -9 while files arrive over the ${link}`, async (t) => {
    const tally = await killDuringCopies('vmic', link, KILLS);
    t.diagnostic(tellKills('vmic', link, KILLS, tally));
    assert.deepEqual(tally.faults, []);
  });

  test(`the same kills of the C daemon over the ${link}, for comparison`, {
    skip: missing[link] ?? false,
  }, async (t) => {
    const tally = await killDuringCopies('c', link, KILLS);
    t.diagnostic(tellKills('C daemon', link, KILLS, tally));
    assert.notDeepEqual(tally.faults, []);
  });
}
