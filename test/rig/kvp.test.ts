/** KVP on real kernels: the daemon as built, in a virtual machine whose VMBus has a pretended host behind it (README.md here). */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { inEachKernel } from './vm.ts';

inEachKernel(
  'kvp in the rig',
  (guest) => {
    it('hv_utils over /dev/vmbus/hv_kvp', async (t) => {
      if (guest.missing !== undefined) return t.skip(guest.missing);
      assert.equal(await guest.run('../kvp/chardev.py', 900), 0);
    });
    it('channel bound to uio_hv_generic', {
      skip: guest.kernel === '6.1' && 'uio_hv_generic of 6.1 refuses channels without a monitor page (error 524)',
    }, async (t) => {
      if (guest.missing !== undefined) return t.skip(guest.missing);
      assert.equal(await guest.run('../kvp/uio.py', 600), 0);
    });
  },
  ['6.12', '7.2', '6.1'],
);
