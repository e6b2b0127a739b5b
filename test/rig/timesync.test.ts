/** Time synchronization on real kernels: the clock that moves is a real one, that of the virtual machine (README.md here). */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { inEachKernel } from './vm.ts';

inEachKernel('timesync in the rig', (guest) => {
  it('sets and disciplines the clock over UIO', async (t) => {
    if (guest.missing !== undefined) return t.skip(guest.missing);
    assert.equal(await guest.run('timesync.py', 900), 0);
  });
});
