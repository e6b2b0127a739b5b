/**
 * KVP on demand: systemd itself holds the descriptor, on real kernels, over the char device and
 * over UIO (README.md here).
 */
import { inEachKernel } from './vm.ts';

inEachKernel(
  'on demand in the rig',
  ({ passes }) => {
    passes(
      'held by systemd, woken by requests, across restarts and a host that toggles the service',
      'on-demand.sh',
      {
        args: ['/opt/vmic'],
        rig: ['--systemd'],
      },
    );
  },
  ['6.1', '6.12', '7.2'],
);
