import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { World, type WorldOptions } from './guest.ts';

const SECOND = 1e9;
const MS = 1e6;

/** Twelve samples in 60 seconds, each delayed by up to 10 ms; after the last the clock runs on to the end of the minute. */
function minute(options: WorldOptions, delays: readonly number[], firstIsSync: boolean): World {
  const world = new World(options);
  for (const [i, delay] of delays.entries()) {
    world.message(firstIsSync && i === 0, delay);
    world.pass(5 * SECOND - delay);
  }
  return world;
}

const delays = fc.array(fc.integer({ min: 0, max: 10 * MS }), { minLength: 12, maxLength: 12 });
const driftPpm = fc.integer({ min: -50, max: 50 });
const errorNs = fc.bigInt({ min: -8_000_000n, max: 8_000_000n });

describe('60 seconds with 10 ms jitter and 50 ppm drift', () => {
  it('end within 1 ms of the host, where the reference counter can be read', () => {
    fc.assert(
      fc.property(delays, driftPpm, errorNs, fc.boolean(), (delays, driftPpm, errorNs, firstIsSync) => {
        const world = minute({ reference: 'counter', driftPpm, errorNs }, delays, firstIsSync);
        assert.ok(Math.abs(world.errorNs) < 0.1 * MS, `${world.errorNs} ns`);
        assert.equal(world.steps.length, firstIsSync ? 1 : 0);
      }),
      { numRuns: 500 },
    );
  });

  for (const driftPpm of [-50, 50]) {
    it(`and with all of ${driftPpm} ppm`, () => {
      fc.assert(
        fc.property(delays, errorNs, (delays, errorNs) => {
          const world = minute({ reference: 'counter', driftPpm, errorNs }, delays, false);
          assert.ok(Math.abs(world.errorNs) < 0.1 * MS, `${world.errorNs} ns`);
        }),
        { numRuns: 200 },
      );
    });
  }

  it('end late by the least delay there was and at most 0.1 ms, where the host only tells the counter', () => {
    fc.assert(
      fc.property(delays, driftPpm, errorNs, fc.boolean(), (delays, driftPpm, errorNs, firstIsSync) => {
        const world = minute({ reference: 'told', driftPpm, errorNs }, delays, firstIsSync);
        const lateNs = -world.errorNs - Math.min(...delays);
        assert.ok(Math.abs(lateNs) < 0.1 * MS, `${lateNs} ns`);
      }),
      { numRuns: 500 },
    );
  });
});
