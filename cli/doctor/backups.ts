import { FREEZE_RESULTS } from '../../daemons/vss/freeze/status.ts';
import type { Check } from './finding.ts';

const freezeInterrupted: Check = ({ snapshot }) => {
  const current = snapshot.backups?.current;
  if (current === undefined || current.isAlive) return [];
  return [
    {
      id: 'freeze-interrupted',
      severity: 'problem',
      service: 'vss',
      title:
        `A freeze that began ${current.at} was interrupted, and nobody has cleared up after ` +
        'it.',
      explanation:
        `It froze ${current.mountPoints.join(', ')}. Its guard thaws by itself; hooks may ` +
        'still wait for their thaw.',
      mend: ['vmic vss thaw'],
    },
  ];
};

const freezeFailed: Check = ({ snapshot }) => {
  const { current, last } = snapshot.backups ?? {};
  // While a freeze is under way, how the one before it ended does not matter
  if (current !== undefined || last === undefined || last.result === 'thawed') return [];
  return [
    {
      id: 'freeze-failed',
      severity: 'warning',
      service: 'vss',
      title: `The last freeze for a backup (${last.at}): ${FREEZE_RESULTS[last.result]}.`,
      explanation:
        `${last.problem ?? 'There is no reason on record'}. The host's copy is not consistent, ` +
        'or there is none.',
      mend: ['vmic vss status', 'vmic vss plan'],
    },
  ];
};

export const backupChecks: readonly Check[] = [freezeInterrupted, freezeFailed];
