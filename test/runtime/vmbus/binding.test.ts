import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import {
  BindingError,
  type BindingErrorCode,
  bind,
  release,
  SysfsVmbus,
} from '../../../runtime/vmbus/index.ts';
import { IN_KERNEL, IN_USER_SPACE, type Place } from '../../../runtime/vmbus/plan.ts';
import { CHANNEL, errno, FakeSysfs, FakeVmbus } from './fake-kernel.ts';

async function withTree(
  place: Partial<Place> | undefined,
  play: (vmbus: FakeVmbus, tree: FakeSysfs) => Promise<void>,
): Promise<void> {
  const tree = new FakeSysfs(place);
  try {
    await play(new FakeVmbus(tree), tree);
  } finally {
    tree.dispose();
  }
}

function fails(code: BindingErrorCode, text: RegExp) {
  return (error: unknown): boolean => {
    assert.ok(error instanceof BindingError, `a BindingError, not ${error}`);
    assert.equal(error.code, code);
    assert.match(error.message, text);
    return true;
  };
}

const moved = { service: 'heartbeat', channel: CHANNEL } as const;

describe('bind', () => {
  it(
    'loads the driver, reserves the channel before it lets go of it, and says what it ' + 'became',
    () =>
      withTree(undefined, async (vmbus, tree) => {
        assert.deepEqual(await bind(vmbus, 'heartbeat'), {
          ...moved,
          driver: 'uio_hv_generic',
          previousDriver: 'hv_utils',
          changed: true,
          device: '/dev/uio7',
        });
        assert.deepEqual(vmbus.taken, [
          'load uio_hv_generic',
          'override uio_hv_generic',
          'unbind hv_utils',
          'bind uio_hv_generic',
        ]);
        assert.deepEqual(vmbus.place(CHANNEL), IN_USER_SPACE);
        assert.equal(tree.read('drivers/hv_utils/unbind'), CHANNEL, 'the name alone is written');
      }),
  );

  it('leaves a channel that somebody has, when only a free one is wanted', () =>
    withTree(undefined, async (vmbus) => {
      assert.deepEqual(await bind(vmbus, 'heartbeat', { ifUnbound: true }), {
        ...moved,
        driver: 'hv_utils',
        previousDriver: 'hv_utils',
        changed: false,
        device: undefined,
      });
      assert.deepEqual(vmbus.taken, []);
    }));

  it('takes a free one', () =>
    withTree({}, async (vmbus) => {
      const { driver, previousDriver, changed } = await bind(vmbus, 'heartbeat', {
        ifUnbound: true,
      });
      assert.deepEqual([driver, previousDriver, changed], ['uio_hv_generic', undefined, true]);
      assert.deepEqual(vmbus.taken, [
        'load uio_hv_generic',
        'override uio_hv_generic',
        'bind uio_hv_generic',
      ]);
    }));

  it('does nothing the second time', () =>
    withTree(undefined, async (vmbus) => {
      await bind(vmbus, 'heartbeat');
      vmbus.taken.length = 0;
      const again = await bind(vmbus, 'heartbeat');
      assert.deepEqual(
        { changed: again.changed, device: again.device },
        { changed: false, device: '/dev/uio7' },
      );
      assert.deepEqual(vmbus.taken, []);
    }));

  it('takes a channel that nobody has', () =>
    withTree({}, async (vmbus) => {
      assert.equal((await bind(vmbus, 'heartbeat')).previousDriver, undefined);
      assert.deepEqual(vmbus.place(CHANNEL), IN_USER_SPACE);
    }));

  it('is content when somebody else was faster', () =>
    withTree(undefined, async (vmbus, tree) => {
      vmbus.onStep = (step) => {
        if (step.action !== 'bind') return;
        tree.react(step);
        throw errno('EBUSY', 16);
      };
      assert.equal((await bind(vmbus, 'heartbeat')).driver, 'uio_hv_generic');
    }));

  it('puts all back when the kernel refuses channels without a monitor page, and says so', () =>
    withTree(undefined, async (vmbus) => {
      vmbus.onStep = (step) => {
        if (step.action === 'bind' && step.driver === 'uio_hv_generic')
          throw errno('Unknown system error -524', 524);
      };
      await assert.rejects(
        bind(vmbus, 'heartbeat'),
        fails('unable', /monitor page.*error 524.*6\.12/),
      );
      assert.deepEqual(vmbus.place(CHANNEL), IN_KERNEL);
    }));

  it('says which module can not be loaded, and has changed nothing', () =>
    withTree(undefined, async (vmbus) => {
      vmbus.onStep = () => {
        throw new Error("the module uio_hv_generic can't be loaded: not found");
      };
      await assert.rejects(
        bind(vmbus, 'heartbeat'),
        fails('unable', /uio_hv_generic can't be loaded: not found/),
      );
      assert.deepEqual(vmbus.taken, ['load uio_hv_generic']);
    }));

  it('says what to do without the right to', () =>
    withTree(undefined, async (vmbus) => {
      vmbus.onStep = () => {
        throw errno('EACCES', 13);
      };
      await assert.rejects(bind(vmbus, 'heartbeat'), fails('permission', /EACCES/));
    }));

  it('knows a kernel without driver_override', () =>
    withTree(undefined, async (vmbus, tree) => {
      fs.rmSync(tree.path('devices', CHANNEL, 'driver_override'));
      await assert.rejects(bind(vmbus, 'heartbeat'), fails('unable', /no driver_override/));
    }));

  it('says where a channel ended up that could not be put back', () =>
    withTree(undefined, async (vmbus) => {
      vmbus.onStep = (step) => {
        if (step.action === 'bind') throw errno('EIO', 5);
      };
      await assert.rejects(
        bind(vmbus, 'heartbeat'),
        fails('failed', /bind uio_hv_generic.*could not be put back.*it is now bound to no driver/),
      );
    }));

  it('notices a channel that goes away on the way', () =>
    withTree(undefined, async (vmbus, tree) => {
      vmbus.onStep = (step) => {
        if (step.action === 'bind') tree.rescind();
      };
      await assert.rejects(bind(vmbus, 'heartbeat'), fails('absent', /gone away/));
    }));

  it('gives up on a driver that does not keep the channel', () =>
    withTree(undefined, async (vmbus, tree) => {
      vmbus.react = false;
      tree.addDriver('uio_hv_generic');
      await assert.rejects(
        bind(vmbus, 'heartbeat'),
        fails('failed', /does not stay with uio_hv_generic/),
      );
    }));

  it('tells a service that is switched off from a machine that is no guest', () =>
    withTree(undefined, async (vmbus, tree) => {
      await assert.rejects(
        bind(vmbus, 'shutdown'),
        fails('absent', /no VMBus channel for shutdown.*switched off/),
      );
      fs.rmSync(path.join(tree.root, 'bus'), { recursive: true });
      await assert.rejects(bind(vmbus, 'heartbeat'), fails('absent', /no Hyper-V guest/));
    }));
});

describe('release', () => {
  it('clears the reservation first, since a driver takes only what it may have', () =>
    withTree(undefined, async (vmbus, tree) => {
      await bind(vmbus, 'heartbeat');
      vmbus.taken.length = 0;
      assert.deepEqual(await release(vmbus, 'heartbeat'), {
        ...moved,
        driver: 'hv_utils',
        previousDriver: 'uio_hv_generic',
        changed: true,
        device: undefined,
      });
      assert.deepEqual(vmbus.taken, ['override -', 'unbind uio_hv_generic', 'bind hv_utils']);
      assert.deepEqual(vmbus.place(CHANNEL), IN_KERNEL);
      assert.equal(tree.read('drivers/hv_utils/bind'), CHANNEL);
    }));

  it('does nothing where the kernel is in charge', () =>
    withTree(undefined, async (vmbus) => {
      assert.equal((await release(vmbus, 'heartbeat')).changed, false);
      assert.deepEqual(vmbus.taken, []);
    }));

  it('gives a channel back that a failed attempt left with nobody', () =>
    withTree({ override: 'uio_hv_generic' }, async (vmbus) => {
      assert.equal((await release(vmbus, 'heartbeat')).driver, 'hv_utils');
      assert.deepEqual(vmbus.place(CHANNEL), IN_KERNEL);
    }));

  it('does not touch a channel that a process has open: nobody could open it again', () =>
    withTree(undefined, async (vmbus, tree) => {
      await bind(vmbus, 'heartbeat');
      tree.addProcess(1, 'init', '/dev/uio70');
      tree.addProcess(4711, 'vmic-heartbeat', '/dev/uio7');
      await assert.rejects(
        release(vmbus, 'heartbeat'),
        fails(
          'busy',
          /^heartbeat: \/dev\/uio7 is in use by process 4711 \(vmic-heartbeat\): stop it first$/,
        ),
      );
      assert.deepEqual(vmbus.place(CHANNEL), IN_USER_SPACE);
      assert.equal(
        fs.existsSync(tree.path('devices', CHANNEL, 'uio/uio7')),
        true,
        'it was never unbound',
      );
    }));

  it('says what helps with a channel that the kernel has left open', () =>
    withTree({ driver: 'uio_hv_generic', override: 'uio_hv_generic' }, async (vmbus) => {
      vmbus.onStep = (step) => {
        if (step.action === 'bind' && step.driver === 'hv_utils') throw errno('EINVAL', 22);
      };
      await assert.rejects(
        release(vmbus, 'heartbeat'),
        fails('failed', /still open.*off and on at the host/),
      );
      assert.deepEqual(vmbus.place(CHANNEL), IN_USER_SPACE);
    }));

  it('loads hv_utils, which then takes the channel by itself', () =>
    withTree({}, async (vmbus, tree) => {
      tree.removeDriver('hv_utils');
      assert.equal((await release(vmbus, 'heartbeat')).driver, 'hv_utils');
      assert.deepEqual(vmbus.taken, ['load hv_utils']);
    }));
});

describe('any failure, at any step, from any place', () => {
  const places: readonly Partial<Place>[] = [
    { driver: 'hv_utils' },
    { driver: 'hv_utils', override: 'uio_hv_generic' },
    { driver: 'uio_hv_generic' },
    { driver: 'uio_hv_generic', override: 'uio_hv_generic' },
    {},
    { override: 'uio_hv_generic' },
  ];
  const arbitrary = fc.record({
    place: fc.constantFrom(...places),
    move: fc.constantFrom(bind, release),
    failAt: fc.integer({ min: 0, max: 4 }),
    afterwards: fc.boolean(),
  });

  it('leaves the channel where it was, where it should go, or with the kernel', () =>
    fc.assert(
      fc.asyncProperty(arbitrary, ({ place, move, failAt, afterwards }) =>
        withTree(place, async (vmbus, tree) => {
          tree.addDriver('uio_hv_generic');
          const before = vmbus.place(CHANNEL)!;
          let step = 0;
          vmbus.onStep = (what) => {
            if (step++ !== failAt) return;
            // The kernel may fail having done it, or not
            if (afterwards) tree.react(what);
            throw errno('EIO', 5);
          };
          const to = move === bind ? IN_USER_SPACE : IN_KERNEL;
          const outcome = await move(vmbus, 'heartbeat').catch((error: unknown) => {
            assert.ok(error instanceof BindingError, String(error));
            return undefined;
          });
          const now = vmbus.place(CHANNEL)!;
          // Where even the way back is closed, the kernel has it
          const allowed = outcome ? [to] : [before, IN_KERNEL];
          assert.ok(
            allowed.some((place) => isDeepStrictEqual(place, now)),
            JSON.stringify(now),
          );
        }),
      ),
    ));
});

describe('sysfs', () => {
  it(
    'loads a module by its name alone, without a shell, and passes on why it could ' + 'not',
    async () => {
      const tree = new FakeSysfs();
      try {
        const modprobe = path.join(tree.root, 'modprobe');
        const log = path.join(tree.root, 'log');
        fs.writeFileSync(
          modprobe,
          `#!/bin/sh\nprintf '%s|' "$@" >${log}\necho "modprobe: FATAL:  not there" >&2\nexit 1\n`,
          {
            mode: 0o755,
          },
        );
        const vmbus = new SysfsVmbus({ sysfs: tree.root, modprobe });
        await assert.rejects(
          bind(vmbus, 'heartbeat'),
          fails('unable', /the module uio_hv_generic can't be loaded: modprobe: FATAL: not there/),
        );
        assert.equal(fs.readFileSync(log, 'utf8'), '--|uio_hv_generic|');
      } finally {
        tree.dispose();
      }
    },
  );

  it('writes to attributes and never makes one', async () => {
    const tree = new FakeSysfs();
    try {
      const vmbus = new SysfsVmbus({ sysfs: tree.root });
      await assert.rejects(vmbus.take({ action: 'bind', driver: 'gone' }, CHANNEL), {
        code: 'ENOENT',
      });
      await vmbus.take({ action: 'override', driver: undefined }, CHANNEL);
      assert.equal(
        tree.read('devices', CHANNEL, 'driver_override').slice(0, 1),
        '\n',
        'an empty line clears it',
      );
    } finally {
      tree.dispose();
    }
  });
});
