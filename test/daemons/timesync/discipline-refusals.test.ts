import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MS, SECOND, sampled, World } from './guest.ts';

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
