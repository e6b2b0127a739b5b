import type { ServiceName } from '../../protocol/ic/classes.ts';
import { serviceOfProcess } from '../../runtime/services.ts';
import { activeCUnit } from '../status/c-daemons.ts';
import type { ProcessSeen, Snapshot } from '../status/snapshot.ts';
import type { Check, Finding } from './finding.ts';
import { inWords } from './names.ts';
import { startCommands } from './start.ts';

const cDaemonRuns: Check = ({ snapshot }) =>
  snapshot.processes.flatMap((process) => {
    const service = serviceOfProcess(process.name);
    return service === undefined ? [] : [foundCDaemon(snapshot, process, service)];
  });

function foundCDaemon(
  snapshot: Snapshot,
  { pid, name }: ProcessSeen,
  service: ServiceName,
): Finding {
  const { status, isRunning } = snapshot.daemons[service] ?? { isRunning: false };
  const unit = activeCUnit(snapshot, service);
  const stop = unit === undefined ? `kill ${pid}` : `systemctl disable --now ${unit}`;
  const blocks = isRunning && status?.state === 'waiting';
  return {
    id: 'c-daemon',
    severity: blocks ? 'problem' : 'warning',
    service,
    title: `The C daemon ${name} (process ${pid}) answers ${inWords(service)}.`,
    explanation: blocks
      ? `vmic-${service} waits for the device that it has open: only one can.`
      : 'It works without vmic, with known defects; only one of the two can have the device.',
    mend: [stop, ...startCommands(snapshot, service)],
  };
}

export const cDaemonChecks: readonly Check[] = [cDaemonRuns];
