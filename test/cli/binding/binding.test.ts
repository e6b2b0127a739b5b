import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CHANNEL, FakeSysfs } from '../../runtime/vmbus/fake-kernel.ts';
import { vmic } from '../run.ts';

/** No addon: a channel can be given back even when that is broken. */
const without = {
  loadNative: () => {
    throw new Error('must not load the addon');
  },
};

async function run(args: readonly string[], tree: FakeSysfs) {
  const ran = vmic(args, { ...without, sysfs: tree.root });
  return { status: await ran.status, out: ran.out, err: ran.err };
}

async function withTree(
  place: ConstructorParameters<typeof FakeSysfs>[0],
  play: (tree: FakeSysfs) => Promise<void>,
) {
  const tree = new FakeSysfs(place);
  try {
    await play(tree);
  } finally {
    tree.dispose();
  }
}

describe('vmic bind and vmic release', () => {
  it('say where the channel is when it is there already', () =>
    withTree({ driver: 'uio_hv_generic', override: 'uio_hv_generic' }, async (tree) => {
      const { status, out } = await run(['bind', 'heartbeat'], tree);
      assert.equal(status, 0);
      assert.equal(
        out,
        `heartbeat: channel ${CHANNEL} is bound to uio_hv_generic as /dev/uio7, as it was\n`,
      );
    }));

  it('leave a channel of the kernel alone where only a free one is wanted', () =>
    withTree({ driver: 'hv_utils' }, async (tree) => {
      const { status, out } = await run(['bind', '--if-unbound', 'heartbeat'], tree);
      assert.deepEqual(
        [status, out],
        [0, `heartbeat: channel ${CHANNEL} is bound to hv_utils, as it was\n`],
      );
    }));

  it('print JSON', () =>
    withTree({ driver: 'hv_utils' }, async (tree) => {
      const { status, out } = await run(['release', 'heartbeat', '--json'], tree);
      assert.equal(status, 0);
      assert.deepEqual(JSON.parse(out), {
        service: 'heartbeat',
        channel: CHANNEL,
        driver: 'hv_utils',
        previousDriver: 'hv_utils',
        changed: false,
      });
    }));

  it('end with 1 when there is no such channel', () =>
    withTree({}, async (tree) => {
      const { status, err } = await run(['release', 'vss'], tree);
      assert.equal(status, 1);
      assert.match(err, /^vmic: there is no VMBus channel for vss/);
    }));

  it('end with 2 and the names there are for a service that is none', () =>
    withTree({}, async (tree) => {
      const { status, err } = await run(['bind', 'heartbeet'], tree);
      assert.equal(status, 2);
      assert.match(err, /heartbeat.*shutdown.*timesync/s);
    }));

  it('end with 6 when the kernel can not', () =>
    withTree({ driver: 'hv_utils' }, async (tree) => {
      // The tree does what is written to it and nothing else: unbinding has no effect
      tree.addDriver('uio_hv_generic');
      const { status, err } = await run(['bind', 'heartbeat'], tree);
      assert.equal(status, 6);
      assert.match(err, /does not stay with uio_hv_generic/);
    }));
});
