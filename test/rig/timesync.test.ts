/**
 * Time synchronization on real kernels: the clock that moves is a real one, that of the virtual
 * machine (README.md here).
 */
import { inEachKernel } from './vm.ts';

inEachKernel('timesync in the rig', ({ passes }) => {
  passes('sets and disciplines the clock over UIO', 'timesync.py');
});
