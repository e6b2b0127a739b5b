/** File copy on real kernels: through hv_utils before 6.10, over UIO since (README.md here). */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { inEachKernel } from './vm.ts';

inEachKernel(
  'file copy in the rig',
  (guest) => {
    it('takes whole files, and leaves nothing of others', async (t) => {
      if (guest.missing !== undefined) return t.skip(guest.missing);
      assert.equal(await guest.run('fcopy.py', 900), 0);
    });
    // The unit finds the channel with hv_utils, or with nobody
    if (guest.kernel === '7.2') return;
    it('is brought by its channel, and comes back', async (t) => {
      if (guest.missing !== undefined) return t.skip(guest.missing);
      assert.equal(await guest.run('fcopy-units.sh', 900, ['/opt/vmic'], ['--systemd']), 0);
    });
  },
  ['6.12', '7.2', '6.1'],
);
