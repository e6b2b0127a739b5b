/** File copy on real kernels: through hv_utils before 6.10, over UIO since (README.md here). */
import { inEachKernel } from './vm.ts';

inEachKernel(
  'file copy in the rig',
  ({ kernel, passes }) => {
    passes('takes whole files, and leaves nothing of others', 'fcopy.py');
    // The unit finds the channel with hv_utils, or with nobody
    if (kernel === '7.2') return;
    passes('is brought by its channel, and comes back', 'fcopy-units.sh', {
      args: ['/opt/vmic'],
      rig: ['--systemd'],
    });
  },
  ['6.12', '7.2', '6.1'],
);
