import { serviceOfUnit } from '../status/units.ts';
import type { Check, Finding } from './finding.ts';

const unitFailed: Check = ({ snapshot }) =>
  Object.entries(snapshot.units ?? {}).flatMap(([unit, { active, result }]): Finding[] => {
    const service = serviceOfUnit(unit);
    if (active !== 'failed' || service === undefined) return [];
    return [
      {
        id: 'unit-failed',
        severity: 'problem',
        service,
        title: `${unit} has failed (${result}).`,
        explanation: 'systemd gave it up after several tries. Its log says why.',
        mend: [
          `journalctl -b -u ${unit} --no-pager | tail -n 20`,
          `systemctl reset-failed ${unit}`,
          `systemctl start ${unit}`,
        ],
      },
    ];
  });

export const unitChecks: readonly Check[] = [unitFailed];
