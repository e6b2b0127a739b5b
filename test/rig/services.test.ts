/**
 * Heartbeat and shutdown on real kernels: over UIO, handed over and back, and guests that really go
 * down (README.md here).
 */
import { inEachKernel } from './vm.ts';

inEachKernel(
  'heartbeat and shutdown in the rig',
  ({ kernel, passes }) => {
    if (kernel === '6.1') {
      passes('says why it can not bind, and leaves hv_utils in charge', 'heartbeat.py');
      return;
    }
    passes('beats, state, and the channel handed over and back', 'heartbeat.py');
    passes('shutdown requests up to the last command', 'shutdown.py', { args: ['rehearse'] });
    for (const end of ['poweroff', 'reboot']) {
      passes(`a host's wish for a ${end}`, 'shutdown.py', { args: [end], rig: ['--expect', end] });
    }
    // The units are the same on every kernel
    if (kernel !== '6.12') return;
    for (const end of ['poweroff', 'reboot']) {
      const rig = ['--systemd', '--expect', end, '--expect-wait', '240'];
      passes(`the units' life, up to a ${end} forced at the host's deadline`, 'units.sh', {
        args: ['/opt/vmic', end],
        rig,
      });
    }
  },
  ['6.12', '7.2', '6.1'],
);
