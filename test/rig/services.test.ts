/** Heartbeat and shutdown on real kernels: over UIO, handed over and back, and guests that really go down (README.md here). */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { inEachKernel } from './vm.ts';

inEachKernel(
  'heartbeat and shutdown in the rig',
  (guest) => {
    const inGuest = (what: string, script: string, args: readonly string[] = [], options: readonly string[] = []) =>
      it(what, async (t) => {
        if (guest.missing !== undefined) return t.skip(guest.missing);
        assert.equal(await guest.run(script, 900, args, options), 0);
      });

    if (guest.kernel === '6.1') {
      inGuest('says why it can not bind, and leaves hv_utils in charge', 'heartbeat.py');
      return;
    }
    inGuest('beats, state, and the channel handed over and back', 'heartbeat.py');
    inGuest('shutdown requests up to the last command', 'shutdown.py', ['rehearse']);
    for (const end of ['poweroff', 'reboot']) {
      inGuest(`a host's wish for a ${end}`, 'shutdown.py', [end], ['--expect', end]);
    }
    // The units are the same on every kernel
    if (guest.kernel !== '6.12') return;
    for (const end of ['poweroff', 'reboot']) {
      const options = ['--systemd', '--expect', end, '--expect-wait', '240'];
      inGuest(`the units' life, up to a ${end} forced at the host's deadline`, 'units.sh', ['/opt/vmic', end], options);
    }
  },
  ['6.12', '7.2', '6.1'],
);
