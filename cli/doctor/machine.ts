import type { Snapshot } from '../status/snapshot.ts';
import { noVmbus } from '../status/status.ts';
import type { Finding } from './finding.ts';

/** Without VMBus nothing else can be checked. */
export const diagnoseWithoutVmbus = (snapshot: Snapshot): readonly Finding[] => [
  snapshot.isHyperV ? vmbusMissing(snapshot) : notHyperV(snapshot),
];

const vmbusMissing = (snapshot: Snapshot): Finding => ({
  id: 'no-vmbus',
  severity: 'problem',
  title: noVmbus(snapshot),
  explanation:
    'Nothing of the integration services works without it, nor do synthetic disks ' +
    'and networks.',
  mend: ['modprobe hv_vmbus', 'modprobe hv_utils'],
});

const notHyperV = (snapshot: Snapshot): Finding => ({
  id: 'no-hyper-v',
  severity: 'problem',
  title: noVmbus(snapshot),
  explanation:
    'vmic has nothing to do here: its services start on Hyper-V and Azure only, and ' +
    'can be left installed in an image.',
});
