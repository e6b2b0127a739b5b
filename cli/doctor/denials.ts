import type { Check } from './finding.ts';

const denialsUnknown: Check = ({ snapshot }) =>
  snapshot.denials !== undefined
    ? []
    : [
        {
          id: 'denials-unknown',
          severity: 'note',
          title: 'Whether SELinux or AppArmor denied something can be seen by root only.',
          explanation: 'The logs of kernel and audit could not be read.',
          mend: ['vmic doctor'],
        },
      ];

const SELINUX_COMMANDS = [
  'restorecon -Rv /usr/lib/vmic /usr/bin/vmic* /var/lib/hyperv /run/vmic',
  'ausearch -m avc -ts boot | audit2why',
];
const APPARMOR_COMMANDS = ['aa-status', "journalctl -b -k --no-pager --grep 'apparmor=.DENIED'"];

const accessDenied: Check = ({ snapshot: { denials = [] } }) => {
  if (denials.length === 0) return [];
  const isSelinux = denials.some((line) => /avc:/.test(line));
  return [
    {
      id: 'access-denied',
      severity: 'problem',
      title: `${isSelinux ? 'SELinux' : 'AppArmor'} denied something to the integration services.`,
      explanation: denials.slice(-3).join('\n'),
      mend: isSelinux ? SELINUX_COMMANDS : APPARMOR_COMMANDS,
    },
  ];
};

export const denialChecks: readonly Check[] = [denialsUnknown, accessDenied];
