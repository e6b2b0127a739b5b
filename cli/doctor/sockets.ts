import type { Check } from './finding.ts';

const hvSockMissing: Check = ({ snapshot }) =>
  snapshot.modules.includes('hv_sock')
    ? []
    : [
        {
          id: 'hv-sock-missing',
          severity: 'note',
          title: 'The module hv_sock is not loaded.',
          explanation:
            'Sockets between host and guest (AF_VSOCK) need it; nothing else does. It is ' +
            'loaded by itself when a program opens one.',
          mend: ['modprobe hv_sock'],
        },
      ];

export const socketChecks: readonly Check[] = [hvSockMissing];
