import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { driftPpm, MS, SECOND, World } from './guest.ts';

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
