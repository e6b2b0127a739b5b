/**
 * KVP on real kernels: the daemon as built, in a virtual machine whose VMBus has a pretended host
 * behind it (README.md here).
 */
import { inEachKernel } from './vm.ts';

inEachKernel(
  'kvp in the rig',
  ({ kernel, passes }) => {
    passes('hv_utils over /dev/vmbus/hv_kvp', '../kvp/chardev.py');
    passes('channel bound to uio_hv_generic', '../kvp/uio.py', {
      skip:
        kernel === '6.1' &&
        'uio_hv_generic of 6.1 refuses channels without a monitor page (error 524)',
    });
  },
  ['6.12', '7.2', '6.1'],
);
