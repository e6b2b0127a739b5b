import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MS, SECOND, sampled, World } from './guest.ts';

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
