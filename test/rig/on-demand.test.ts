/** KVP on demand: systemd itself holds the descriptor, on real kernels, over the char device and over UIO (README.md here). */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { inEachKernel } from './vm.ts';

inEachKernel(
  'on demand in the rig',
  (guest) => {
    it('held by systemd, woken by requests, across restarts and a host that toggles the service', async (t) => {
      if (guest.missing !== undefined) return t.skip(guest.missing);
      assert.equal(await guest.run('on-demand.sh', 900, ['/opt/vmic'], ['--systemd']), 0);
    });
  },
  ['6.1', '6.12', '7.2'],
);
