/** What hosts, PowerShell and their logs say, in words for the guest's side. */
export interface Explanation {
  readonly code: string;
  /** Other spellings. */
  readonly also: readonly string[];
  readonly meaning: string;
  readonly causes: readonly string[];
  readonly look: readonly string[];
}

const BY_DOCTOR = ['vmic doctor', 'vmic status'];

export const EXPLANATIONS: readonly Explanation[] = [
  {
    code: '0x800710DF',
    also: ['not ready', 'the device is not ready for use', 'ERROR_DEVICE_NOT_AVAILABLE'],
    meaning:
      'The device is not ready for use: the host found nobody at the other end of the ' +
      'channel. Seen with Copy-VMFile.',
    causes: [
      'Linux 6.10 and later: hv_utils has no file copy any more, and nothing gave the ' +
        'channel to user space (vmic bind fcopy).',
      'No daemon for file copies runs, or its unit waits for /dev/vmbus/hv_fcopy, which such ' +
        'kernels do not have.',
      'The guest service interface was switched on while the guest ran, and the guest did ' +
        'not notice.',
    ],
    look: ['vmic doctor', 'systemctl status vmic-fcopy.socket vmic-fcopy.service'],
  },
  {
    code: 'No Contact',
    also: ['msvm 12', 'operational status 12', 'nocontact'],
    meaning:
      'The service is switched on at the host, and nobody in the guest has answered since ' +
      'the guest started.',
    causes: [
      'The channel is bound to no driver, or to uio_hv_generic without a daemon.',
      'hv_utils is not loaded, or the daemon for data exchange or backups does not run.',
      'The guest is still starting: give it a minute.',
    ],
    look: BY_DOCTOR,
  },
  {
    code: 'Lost Communication',
    also: ['msvm 13', 'operational status 13', 'lostcommunication'],
    meaning: 'Somebody answered before and does no more.',
    causes: [
      'The guest hangs, or is paused.',
      'The daemon ended and was not started again.',
      'The channel was moved to user space and nobody took it.',
    ],
    look: ['vmic status', 'systemctl --failed', 'journalctl -b -p err'],
  },
  {
    code: 'protocol version mismatch',
    also: [
      'protocolmismatch',
      'msvm 32775',
      '32775',
      'The protocol version of the component installed in the virtual machine does not match ' +
        'the version expected by the hosting system',
    ],
    meaning:
      'Guest and host speak different versions of a service. Hosts show it for guests older ' +
      'than themselves, Linux included, and it is harmless as long as both have one version ' +
      'in common.',
    causes: [
      'Shown as "Degraded" although all works: Linux answers with the newest version it ' +
        'knows, and the host knows a newer one.',
      'No version in common at all: the log of the daemon says "No version in common with ' +
        'the host", with both lists.',
    ],
    look: ['vmic status', "journalctl -b -u 'vmic-*' --no-pager --grep 'No version in common'"],
  },
  {
    code: 'OkApplicationsUnknown',
    also: ['applications unknown', 'OK (No Heartbeat application data)'],
    meaning: 'Beats are answered, and nothing is said about applications: what hv_utils does.',
    causes: [
      'vmic-heartbeat does not have the channel.',
      'It has, but nothing is configured to be watched.',
    ],
    look: ['systemctl enable --now vmic-heartbeat.service', 'man vmic-heartbeat'],
  },
  {
    code: 'OkApplicationsCritical',
    also: ['applications critical'],
    meaning: 'The guest answers, and vmic-heartbeat reports that a unit or a check has failed.',
    causes: ['vmic status --json names the reasons.'],
    look: ['vmic status --json', 'systemctl --failed'],
  },
  {
    code: '0x80004005',
    also: ['E_FAIL', 'unspecified error'],
    meaning: 'The guest answered that the request failed.',
    causes: [
      'No daemon was registered when the request came.',
      'The daemon took longer than 30 s.',
      'A freeze failed: the log names the file system.',
    ],
    look: ["journalctl -b -u 'vmic-*' -p warning --no-pager"],
  },
  {
    code: '0x80070032',
    also: ['ERROR_NOT_SUPPORTED', 'not supported'],
    meaning: 'The guest does not know this request, or does not do it.',
    causes: ['The host is newer than vmic.', 'A computed key (pool "auto") can not be written.'],
    look: ["journalctl -b -u 'vmic-*' -p warning --no-pager"],
  },
  {
    code: '0x80070050',
    also: ['ERROR_FILE_EXISTS', 'file exists'],
    meaning: 'Copy-VMFile: the file is there already.',
    causes: ['Copy-VMFile -Force overwrites it.'],
    look: [],
  },
  {
    code: '0x80070070',
    also: ['ERROR_DISK_FULL', 'disk full'],
    meaning: 'The guest has no space left for what the host sent.',
    causes: ['The file system of the target, or of /var/lib/hyperv, is full.'],
    look: ['df -h'],
  },
  {
    code: '0x80070005',
    also: ['E_ACCESSDENIED', 'access denied'],
    meaning:
      'The guest refuses: the target of a copy is outside of what the configuration allows, ' +
      'or a file may not be written.',
    causes: ['The policy for file copies in /etc/vmic/config.toml.', 'SELinux or AppArmor.'],
    look: ['vmic doctor', 'journalctl -b -u vmic-fcopy --no-pager'],
  },
  {
    code: '0x8007048F',
    also: ['ERROR_DEVICE_NOT_CONNECTED', 'device not connected'],
    meaning: 'The channel was closed: the guest shuts down, or the service was switched off.',
    causes: ['The guest is on its way down or up.'],
    look: BY_DOCTOR,
  },
  {
    code: '0x800704F7',
    also: ['ERROR_MACHINE_LOCKED', 'machine locked'],
    meaning: 'The guest refuses to shut down now: a program inhibits it, or someone has to agree.',
    causes: ['systemd-inhibit --list names the program.', 'The host can insist: Stop-VM -Force.'],
    look: ['systemd-inhibit --list'],
  },
  {
    code: '0x80070103',
    also: ['ERROR_NO_MORE_ITEMS', 'no more items'],
    meaning: 'There is no such key, or no further one: the normal end of a list.',
    causes: [],
    look: ['vmic kvp list'],
  },
  {
    code: '0x80041002',
    also: ['WBEM_E_NOT_FOUND', 'guid not found'],
    meaning: 'The network adapter the host named is not in this guest.',
    causes: [
      'The adapter was just added or removed.',
      'It is no synthetic adapter: only those can be configured by the host.',
    ],
    look: ['ls /sys/bus/vmbus/devices/*/net'],
  },
];

/**
 * HRESULTs as they come: hexadecimal in any case, or the signed and unsigned decimals of PowerShell
 * and WMI.
 */
export function findExplanation(text: string): Explanation | undefined {
  const wanted = normalize(text);
  if (wanted === '') return undefined;
  return (
    EXPLANATIONS.find(({ code, also }) =>
      [code, ...also].some((name) => normalize(name) === wanted),
    ) ??
    // A pasted message that holds a code, or a name of three words or more
    EXPLANATIONS.find(({ code, also }) =>
      [code, ...also].some((name) => /^0x|\s\S+\s/i.test(name) && wanted.includes(normalize(name))),
    )
  );
}

function normalize(text: string): string {
  const trimmed = text.trim().toLowerCase();
  if (/^-?\d{5,}$/.test(trimmed)) {
    const value = Number(trimmed);
    if (value < 0 || value >= 2 ** 31) return `0x${(value >>> 0).toString(16).padStart(8, '0')}`;
  }
  return trimmed
    .replace(/[\s."']+/g, ' ')
    .trim()
    .replace(/^(hresult|error|status):? /, '');
}
