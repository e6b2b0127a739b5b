import { RESULTS } from '../../daemons/fcopy/status.ts';
import type { Check } from './finding.ts';

const copyFailed: Check = ({ snapshot }) => {
  const last = snapshot.copies?.last;
  if (last?.result !== 'diskFull' && last?.result !== 'failed') return [];
  return [
    {
      id: 'copy-failed',
      severity: 'warning',
      service: 'fcopy',
      title:
        `The last file of a host, ${last.target}, could not be copied: ` +
        `${RESULTS[last.result]}.`,
      explanation: `${last.reason ?? 'There is no reason on record'}. Nothing is left of it.`,
      mend: ['vmic fcopy status', 'df -h'],
    },
  ];
};

export const copyChecks: readonly Check[] = [copyFailed];
