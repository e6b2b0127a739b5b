/**
 * The part of the rig that CI runs: most of it on one kernel, a small proof on the others, in as
 * few boots as can be (README.md here). "npm run test:rig -- --all" runs each test on each kernel,
 * in a guest of its own.
 */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import { after, before, describe, it } from 'node:test';
import { chosenKernels, impossible, type Machine, runTogether, setUpAll, stage } from './vm.ts';

/** Virtual machines at a time; each takes a core and a gigabyte. */
const MAX_MACHINES = 2;
const KERNEL = '6.12';

/** Long ones first, or the others would wait for them in the end. */
const MACHINES: Readonly<Record<string, Machine>> = {
  services: {
    kernel: KERNEL,
    end: 'poweroff',
    parts: [
      ['kvp: hv_utils over /dev/vmbus/hv_kvp', '/opt/kvp/chardev.py'],
      ['kvp: channel bound to uio_hv_generic', '/opt/kvp/uio.py'],
      ['file copy: takes whole files, and leaves nothing of others', 'fcopy.py'],
      ['heartbeat: beats, state, and the channel handed over and back', 'heartbeat.py'],
      ['shutdown: requests up to the last command', 'shutdown.py', 'rehearse'],
      [
        'vss: backups over the char device of hv_utils and over UIO, whatever ends in between',
        'vss.py',
      ],
      ['timesync: sets and disciplines the clock over UIO', 'timesync.py'],
      ["shutdown: a host's wish for a poweroff", 'shutdown.py', 'poweroff'],
    ],
  },
  units: {
    kernel: KERNEL,
    rig: ['--systemd'],
    parts: [
      [
        'kvp: the unit is started by the device, sandboxed, restarted, stopped',
        '/opt/vmic/unit-in-guest.sh',
        '/opt/vmic',
      ],
      ['file copy: is brought by its channel, and comes back', 'fcopy-units.sh', '/opt/vmic'],
      ["vss: the unit's life, ended in each way while / is frozen", 'vss-units.py'],
    ],
  },
  'kernel 6.1': {
    kernel: '6.1',
    parts: [
      ['says why it can not bind, and leaves hv_utils in charge', 'heartbeat.py'],
      ['file copy: takes whole files, and leaves nothing of others', 'fcopy.py'],
    ],
  },
  'kernel 7.2': {
    kernel: '7.2',
    parts: [
      ['kvp: channel bound to uio_hv_generic', '/opt/kvp/uio.py'],
      ['file copy: takes whole files, and leaves nothing of others', 'fcopy.py'],
    ],
  },
};

const concurrency = Math.min(os.availableParallelism(), MAX_MACHINES);

describe('the rig, for CI', { skip: impossible, concurrency }, () => {
  let missing: ReadonlyMap<string, string>;
  let staged: string;
  const kernels = chosenKernels([KERNEL, '6.1', '7.2']);
  before(() => {
    missing = setUpAll(kernels);
    staged = stage();
  });
  after(() => fs.rmSync(staged, { recursive: true, force: true }));
  for (const [name, machine] of Object.entries(MACHINES)) {
    if (!kernels.includes(machine.kernel)) continue;
    it(`${name}, kernel ${machine.kernel}`, async (t) => {
      if (missing.has(machine.kernel)) return t.skip(missing.get(machine.kernel));
      const { status, ends } = await runTogether(machine, { name, staged });
      for (const [i, [what]] of machine.parts.entries())
        await t.test(what, () => assert.equal(ends[i], 0));
      assert.equal(status, 0, 'exit status of run.sh');
    });
  }
});
