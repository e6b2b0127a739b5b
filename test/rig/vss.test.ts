/** VSS on real kernels: real file systems, the root among them, frozen as a host asks (README.md here). */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { inEachKernel } from './vm.ts';

inEachKernel(
  'vss in the rig',
  (guest) => {
    it('backups over the char device of hv_utils and over UIO, whatever ends in between', async (t) => {
      if (guest.missing !== undefined) return t.skip(guest.missing);
      assert.equal(await guest.run('vss.py', 900), 0);
    });
    // The unit is the same on every kernel
    if (guest.kernel !== '6.12') return;
    it("the unit's life, ended in each way while / is frozen", async (t) => {
      if (guest.missing !== undefined) return t.skip(guest.missing);
      assert.equal(await guest.run('vss-units.py', 900, [], ['--systemd']), 0);
    });
  },
  ['6.12', '7.2', '6.1'],
);
