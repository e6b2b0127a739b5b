/**
 * VSS on real kernels: real file systems, the root among them, frozen as a host asks (README.md
 * here).
 */
import { inEachKernel } from './vm.ts';

inEachKernel(
  'vss in the rig',
  ({ kernel, passes }) => {
    passes(
      'backups over the char device of hv_utils and over UIO, whatever ends in between',
      'vss.py',
    );
    // The unit is the same on every kernel
    if (kernel !== '6.12') return;
    passes("the unit's life, ended in each way while / is frozen", 'vss-units.py', {
      rig: ['--systemd'],
    });
  },
  ['6.12', '7.2', '6.1'],
);
