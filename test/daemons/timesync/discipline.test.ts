import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { World, type WorldOptions } from './guest.ts';

const SECOND = 1e9;
const MS = 1e6;

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
const driftPpm = fc.integer({ min: -50, max: 50 });
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

/** Samples every five seconds. */
function sampled(world: World, count: number, delayNs = 100_000): void {
  for (let i = 0; i < count; i++) {
    world.message(false, delayNs);
    world.pass(5 * SECOND - delayNs);
  }
}

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

describe('steps', () => {
  it('are made at once when the host orders it, forwards and backwards', () => {
    for (const errorNs of [-3_600_000_000_000n, -1_000_000n, 2_000_000n, 86_400_000_000_000n]) {
      const world = new World({ errorNs });
      world.message(true, 5 * MS);
      assert.deepEqual(world.steps, [-errorNs]);
      assert.equal(world.errorNs, 0);
    }
  });

  it('are made in every mode then', () => {
    for (const mode of ['discipline', 'chrony', 'observe'] as const) {
      const world = new World({ errorNs: 3_000_000_000n, mode });
      world.message(true);
      assert.deepEqual(world.steps, [-3_000_000_000n], mode);
    }
  });

  it('are made forwards without order when the guest is 5 s behind, not when it is less', () => {
    const behind = new World({ errorNs: -5_000_000_000n });
    const decision = behind.message(false);
    assert.ok(typeof decision === 'object' && decision.step === 'resume');
    assert.equal(behind.errorNs, 0);

    const almost = new World({ errorNs: -4_900_000_000n });
    almost.message(false);
    assert.deepEqual(almost.steps, []);
    assert.deepEqual(almost.decisions.at(-1)!.adjustment, { slewUs: 30_000 });
  });

  it(
    'are never made backwards without order: the clock is slowed down, at most by what ends ' +
      'within a minute',
    () => {
      const world = new World({ errorNs: 3_600_000_000_000n });
      const before = world.errorNs;
      sampled(world, 12);
      assert.deepEqual(world.steps, []);
      assert.ok(
        world.errorNs < before - 25 * MS && world.errorNs > before - 31 * MS,
        `${world.errorNs - before} ns`,
      );
      assert.equal(
        world.decisions.at(-1)!.adjustment!.errorUs,
        undefined,
        'such a clock is not vouched for',
      );
      world.pass(3600 * SECOND);
      assert.ok(
        world.errorNs > before - 61 * MS,
        'a daemon that died leaves no endless slew behind',
      );
    },
  );

  for (const reference of ['counter', 'told', 'none'] as const) {
    it(`after a suspension the host did not speak of (reference: ${reference})`, () => {
      for (const mode of ['discipline', 'chrony', 'observe'] as const) {
        const world = new World({ reference, mode, driftPpm: 20 });
        sampled(world, 10);
        world.suspend(3600 * SECOND);
        world.message(false, 100_000);
        assert.equal(world.steps.length, 1, `${mode}: ${JSON.stringify(world.refusals)}`);
        assert.ok(Math.abs(world.errorNs) < 6 * MS, `${mode}: ${world.errorNs} ns`);
        sampled(world, 10);
        assert.equal(world.steps.length, 1, mode);
      }
    });
  }

  it('leave alone a clock that another program keeps apart from the host', () => {
    for (const mode of ['chrony', 'observe'] as const) {
      const world = new World({ errorNs: -60_000_000_000n, mode });
      sampled(world, 20);
      assert.deepEqual(world.steps, [], mode);
      // and it may set it
      world.clock.adjustClock({ stepNs: 120_000_000_000n });
      sampled(world, 20);
      assert.deepEqual(world.steps, [], mode);
      assert.ok(
        world.decisions.every(
          ({ adjustment, feed }) => adjustment === undefined && feed === (mode === 'chrony'),
        ),
      );
      world.suspend(10 * SECOND);
      world.message(false);
      assert.deepEqual(
        world.steps,
        [10_000_000_000n],
        'what was missed, not what is between the clocks',
      );
    }
  });

  it(
    'follow a host whose own clock was set: forwards like a suspension, backwards only by ' +
      'order',
    () => {
      const world = new World({});
      sampled(world, 10);
      world.hostErrorNs = 30_000_000_000n;
      sampled(world, 1);
      assert.deepEqual(world.steps, [30_000_000_000n]);
      world.hostErrorNs = 0n;
      assert.equal(world.message(false), 'backwards');
      world.pass(5 * SECOND);
      sampled(world, 10);
      assert.equal(world.steps.length, 1);
      assert.ok(world.errorNs > 29.9 * SECOND, 'the guest stays ahead');
      world.message(true);
      assert.equal(world.errorNs, 0);
    },
  );

  it(
    'are made for a sync even when a refused or plain sample follows it before anything was ' +
      'done',
    () => {
      const world = new World({ errorNs: 2_000_000_000n });
      const base = {
        hostTime100ns: world.hostNs / 100n + 116_444_736_000_000_000n,
        referenceTime100ns: world.counter100ns,
      };
      const receipt = {
        rawNs: world.rawNs,
        counter: { value100ns: world.counter100ns, rawNs: world.rawNs },
      };
      assert.equal(world.discipline.receive({ ...base, isSync: true }, receipt), undefined);
      assert.equal(world.discipline.receive({ ...base, isSync: false }, receipt), undefined);
      assert.equal(
        world.discipline.receive({ ...base, hostTime100ns: 1n, isSync: false }, receipt),
        'absurd',
      );
      const decision = world.discipline.act(
        { realtimeNs: world.realtimeNs, rawNs: world.rawNs },
        'observe',
      )!;
      assert.equal(decision.step, 'sync');
      assert.equal(decision.adjustment!.stepNs, -2_000_000_000n);
      assert.equal(
        world.discipline.act({ realtimeNs: world.realtimeNs, rawNs: world.rawNs }, 'observe'),
        undefined,
        'once',
      );
    },
  );
});

describe('refused are', () => {
  const at = (iso: string) => BigInt(Date.parse(iso)) * 10_000n + 116_444_736_000_000_000n;

  it('times that cannot be, also by order', () => {
    const world = new World({});
    for (const time of [
      0n,
      1n,
      at('1970-01-01'),
      at('2019-12-31'),
      at('2200-01-01'),
      2n ** 64n - 1n,
    ]) {
      for (const isSync of [true, false]) {
        const sample = { hostTime100ns: time, referenceTime100ns: world.counter100ns, isSync };
        assert.equal(world.deliver(sample), 'absurd', `${time}`);
      }
    }
    assert.equal(world.errorNs, 0);
    assert.deepEqual(world.decisions, []);
  });

  it('reference times that are still to come', () => {
    const world = new World({});
    const hostTime100ns = at('2026-06-01');
    assert.equal(
      world.deliver({ hostTime100ns, referenceTime100ns: 2n ** 64n - 1n, isSync: true }),
      'absurd',
    );
    assert.equal(
      world.deliver({
        hostTime100ns,
        referenceTime100ns: world.counter100ns + 10_001n,
        isSync: true,
      }),
      'absurd',
    );
    assert.notEqual(
      world.deliver({
        hostTime100ns,
        referenceTime100ns: world.counter100ns + 10_000n,
        isSync: true,
      }),
      'absurd',
    );
  });

  it('samples older than 600 s', () => {
    for (const reference of ['counter', 'told'] as const) {
      const world = new World({ reference });
      sampled(world, 3);
      const message = (): Parameters<World['deliver']>[0] => ({
        hostTime100ns: world.hostNs / 100n + 116_444_736_000_000_000n,
        referenceTime100ns: world.counter100ns,
        isSync: false,
      });
      const old = message();
      world.pass(599 * SECOND);
      assert.equal(typeof world.deliver(old), 'object', 'not yet');
      assert.ok(Math.abs(world.errorNs) < MS, 'its age is known');
      const older = message();
      world.pass(601 * SECOND);
      assert.equal(world.deliver(older), 'stale', reference);
    }
  });

  it('samples that look stale only by comparison, but not for ever', () => {
    const world = new World({ reference: 'told' });
    sampled(world, 3);
    // A restored partition's counter may begin anew, far behind
    const message = () => ({
      hostTime100ns: world.hostNs / 100n + 116_444_736_000_000_000n,
      referenceTime100ns: world.counter100ns - 8_000_000_000n,
      isSync: false,
    });
    const outcomes = [];
    for (let i = 0; i < 5; i++) {
      const outcome = world.deliver(message());
      outcomes.push(typeof outcome === 'string' ? outcome : 'used');
      world.pass(5 * SECOND);
    }
    assert.deepEqual(outcomes, ['stale', 'stale', 'used', 'used', 'used']);
    assert.ok(Math.abs(world.errorNs) < 0.1 * MS);
  });

  it('samples from before the last one', () => {
    const world = new World({});
    const sample = {
      hostTime100ns: world.hostNs / 100n + 116_444_736_000_000_000n,
      referenceTime100ns: world.counter100ns,
      isSync: false,
    };
    sampled(world, 2);
    assert.equal(world.deliver(sample), 'backwards');
    assert.equal(
      typeof world.deliver({ ...sample, isSync: true }),
      'object',
      'unless the host orders it',
    );
  });
});

/** Everything a host, a hypervisor and an administrator can do. */
const event = fc.oneof(
  {
    weight: 10,
    arbitrary: fc.record({
      type: fc.constant('sample'),
      delayNs: fc.integer({ min: 0, max: 2e10 }),
    }),
  },
  {
    weight: 10,
    arbitrary: fc.record({
      type: fc.constant('sample'),
      delayNs: fc.integer({ min: 0, max: 1e7 }),
    }),
  },
  fc.record({ type: fc.constant('suspend'), ns: fc.integer({ min: 0, max: 1e13 }) }),
  fc.record({
    type: fc.constant('host'),
    errorNs: fc.bigInt({ min: -1_000_000_000_000_000n, max: 1_000_000_000_000_000n }),
  }),
  fc.record({
    type: fc.constant('raw'),
    host: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    counter: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  }),
  fc.record({
    type: fc.constant('mode'),
    mode: fc.constantFrom('discipline', 'chrony', 'observe'),
  }),
) as fc.Arbitrary<{
  type: 'sample' | 'suspend' | 'host' | 'raw' | 'mode';
  delayNs: number;
  ns: number;
  errorNs: bigint;
  host: bigint;
  counter: bigint;
  mode: 'discipline' | 'chrony' | 'observe';
}>;

describe('whatever happens', () => {
  it('the clock never goes back without a sync, and adjustments keep their limits', () => {
    fc.assert(
      fc.property(
        fc.array(event, { maxLength: 80, size: 'max' }),
        fc.constantFrom('counter' as const, 'told' as const, 'none' as const),
        driftPpm,
        (events, reference, driftPpm) => {
          const world = new World({ reference, driftPpm });
          for (const { type, delayNs, ns, errorNs, host, counter, mode } of events) {
            switch (type) {
              case 'sample':
                world.message(false, delayNs);
                world.pass(5 * SECOND);
                break;
              case 'suspend':
                world.suspend(ns);
                break;
              case 'host':
                world.hostErrorNs = errorNs;
                break;
              case 'raw':
                world.deliver({ hostTime100ns: host, referenceTime100ns: counter, isSync: false });
                break;
              case 'mode':
                world.mode = mode;
            }
          }
          // World.pass has seen to it that the clock did not go back between steps
          assert.ok(
            world.steps.every((step) => step >= 5_000_000_000n),
            String(world.steps),
          );
          for (const { adjustment } of world.decisions) {
            assert.ok(Math.abs(adjustment?.slewUs ?? 0) <= 30_000);
            assert.ok(Math.abs(adjustment?.frequencyPpm ?? 0) <= 500);
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  it('a sync puts everything right', () => {
    fc.assert(
      fc.property(
        fc.array(event, { maxLength: 20 }),
        fc.constantFrom('counter' as const, 'told' as const, 'none' as const),
        (events, reference) => {
          const world = new World({ reference });
          for (const { type, delayNs, ns, errorNs } of events) {
            if (type === 'sample') world.message(false, delayNs % 1e7);
            if (type === 'suspend') world.suspend(ns);
            if (type === 'host') world.hostErrorNs = errorNs;
            world.pass(SECOND);
          }
          world.message(true);
          assert.ok(Math.abs(world.errorNs) <= 21 * MS, `${world.errorNs} ns`);
        },
      ),
      { numRuns: 300 },
    );
  });
});
