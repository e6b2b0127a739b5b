import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { driftPpm, MS, SECOND, sampled, World, type WorldOptions } from './guest.ts';

/**
 * Twelve samples in 60 seconds, each delayed by up to 10 ms; after the last the clock runs on to
 * the end of the minute.
 */
function minute(options: WorldOptions, delays: readonly number[], firstIsSync: boolean): World {
  const world = new World(options);
  for (const [i, delay] of delays.entries()) {
    world.message(firstIsSync && i === 0, delay);
    world.pass(5 * SECOND - delay);
  }
  return world;
}

const delays = fc.array(fc.integer({ min: 0, max: 10 * MS }), { minLength: 12, maxLength: 12 });
const errorNs = fc.bigInt({ min: -8_000_000n, max: 8_000_000n });

describe('60 seconds with 10 ms jitter and 50 ppm drift', () => {
  it('end within 1 ms of the host, where the reference counter can be read', () => {
    fc.assert(
      fc.property(
        delays,
        driftPpm,
        errorNs,
        fc.boolean(),
        (delays, driftPpm, errorNs, firstIsSync) => {
          const world = minute({ reference: 'counter', driftPpm, errorNs }, delays, firstIsSync);
          assert.ok(Math.abs(world.errorNs) < 0.1 * MS, `${world.errorNs} ns`);
          assert.equal(world.steps.length, firstIsSync ? 1 : 0);
        },
      ),
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

  it(
    'end late by the least delay there was and at most 0.1 ms, where the host only tells the ' +
      'counter',
    () => {
      fc.assert(
        fc.property(
          delays,
          driftPpm,
          errorNs,
          fc.boolean(),
          (delays, driftPpm, errorNs, firstIsSync) => {
            const world = minute({ reference: 'told', driftPpm, errorNs }, delays, firstIsSync);
            // The last sample may have shown the others to be late: that takes time to correct
            world.pass(20 * SECOND);
            const lateNs = -world.errorNs - Math.min(...delays);
            assert.ok(Math.abs(lateNs) < 0.1 * MS, `${lateNs} ns`);
          },
        ),
        { numRuns: 500 },
      );
    },
  );
});

describe('longer', () => {
  it('follows a host that tells no reference within its jitter, whatever the drift', () => {
    const jitter = fc.array(fc.integer({ min: 0, max: 10 * MS }), {
      minLength: 120,
      maxLength: 120,
    });
    fc.assert(
      fc.property(jitter, driftPpm, (delays, driftPpm) => {
        const world = minute({ reference: 'none', driftPpm }, delays, true);
        assert.ok(Math.abs(world.errorNs) < 10 * MS, `${world.errorNs} ns`);
      }),
      { numRuns: 100 },
    );
  });

  it(
    'follows the host although the raw clock and the reference counter differ in pace, when ' +
      'there is time to find out',
    () => {
      const jitter = fc.array(fc.integer({ min: 0, max: 3 * MS }), {
        minLength: 120,
        maxLength: 120,
      });
      fc.assert(
        fc.property(jitter, fc.integer({ min: -50, max: 50 }), (delays, paceErrorPpm) => {
          const world = minute(
            { reference: 'told', driftPpm: paceErrorPpm, paceErrorPpm },
            delays,
            true,
          );
          assert.ok(Math.abs(world.errorNs) < 4 * MS, `${world.errorNs} ns`);
        }),
        { numRuns: 100 },
      );
    },
  );

  it('learns the frequency, so that the clock stays right when the samples stop', () => {
    const world = new World({ driftPpm: 40 });
    sampled(world, 30);
    const { frequencyPpm } = world.decisions.at(-1)!;
    assert.ok(Math.abs(frequencyPpm! + 40) < 0.1, `${frequencyPpm} ppm`);
    assert.ok(Math.abs(world.clock.readClockState().frequencyPpm - frequencyPpm!) < 1e-9);
    world.pass(600 * SECOND);
    assert.ok(
      Math.abs(world.errorNs) < 0.1 * MS,
      `${world.errorNs} ns after ten minutes without samples`,
    );
  });

  for (const reference of ['counter', 'told'] as const) {
    it(
      'is not misled in its frequency by a host whose clock is set by a few milliseconds ' +
        `(reference: ${reference})`,
      () => {
        for (const byNs of [15_000_000n, -15_000_000n]) {
          const world = new World({ reference, driftPpm: 40 });
          sampled(world, 30);
          world.hostErrorNs = byNs;
          sampled(world, 30, 150_000);
          const { frequencyPpm } = world.decisions.at(-1)!;
          assert.ok(Math.abs(frequencyPpm! + 40) < 0.1, `${frequencyPpm} ppm`);
          assert.ok(Math.abs(world.errorNs) < 0.3 * MS, `${world.errorNs} ns`);
        }
      },
    );
  }

  it('knows the frequency from before: the kernel keeps it while the daemon is restarted', () => {
    const world = new World({ driftPpm: 40 });
    world.clock.adjustClock({ frequencyPpm: -40 });
    const { frequencyPpm } = world.clock.readClockState();
    assert.equal(frequencyPpm, -40);
    sampled(world, 2);
    assert.equal(
      world.decisions.at(-1)!.adjustment!.frequencyPpm,
      undefined,
      'two samples tell nothing new',
    );
    assert.equal(world.clock.readClockState().frequencyPpm, -40);
  });
});
