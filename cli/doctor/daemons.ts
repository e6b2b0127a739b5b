import { type Check, eachService, type ServiceCheck } from './finding.ts';

const waiting: ServiceCheck = ({ service, answerer, waitingFor }) =>
  answerer !== 'waiting'
    ? undefined
    : {
        id: 'daemon-waits',
        severity: 'problem',
        service,
        title: `vmic-${service} runs, but waits for its channel.`,
        explanation: waitingFor ?? 'Its log says for what.',
        mend: [`journalctl -b -u vmic-${service} --no-pager | tail`],
      };

const noCommonVersion: ServiceCheck = ({ service, versions, counters }) =>
  versions !== undefined || !counters?.['negotiations']
    ? undefined
    : {
        id: 'no-common-version',
        severity: 'problem',
        service,
        title: `The host and vmic-${service} have no version of their protocol in common.`,
        explanation:
          'A host shows "protocol version mismatch" or "No Contact". The log has the ' +
          'versions of both.',
        mend: [`journalctl -b -u vmic-${service} --no-pager --grep 'No version in common'`],
      };

export const daemonChecks: readonly Check[] = [eachService(waiting), eachService(noCommonVersion)];
