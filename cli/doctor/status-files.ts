import type { ServiceName } from '../../protocol/ic/classes.ts';
import { serviceUnit } from '../status/units.ts';
import type { Check, Finding } from './finding.ts';

const unreadable: Check = ({ snapshot }) =>
  Object.entries(snapshot.daemons).flatMap(([name, { problem }]): Finding[] => {
    const service = name as ServiceName;
    if (problem === undefined) return [];
    return [
      {
        id: 'status-unreadable',
        severity: 'warning',
        service,
        title: `What vmic-${service} says of itself can't be read.`,
        explanation: problem,
        mend: [`systemctl try-restart ${serviceUnit(service)}`],
      },
    ];
  });

export const statusFileChecks: readonly Check[] = [unreadable];
