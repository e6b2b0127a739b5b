import { RESULTS as COPY_RESULTS } from '../../daemons/fcopy/status.ts';
import { RECORD_BYTES } from '../../daemons/kvp/pools/index.ts';
import { FREEZE_RESULTS } from '../../daemons/vss/freeze/status.ts';
import type { ServiceName } from '../../protocol/ic/classes.ts';
import { SERVICE_NAMES } from '../../protocol/ic/classes.ts';
import { KvpPool } from '../../protocol/kvp/types.ts';
import { CLOCK_PROGRAMS, type ClockProgram } from '../../runtime/clock-programs.ts';
import { cDaemonUnits } from '../../runtime/services.ts';
import { isCDaemon, type Snapshot, serviceOfCDaemon } from '../status/snapshot.ts';
import {
  answersInKernel,
  cDaemonOf,
  noVmbus,
  type ServiceLine,
  summarize,
} from '../status/status.ts';

/**
 * `problem`: something does not work. `warning`: it may go wrong, or is not as it should be.
 * `note`: good to know.
 */
export type Severity = 'problem' | 'warning' | 'note';

export interface Finding {
  /** Stays the same from version to version. */
  readonly id: string;
  readonly severity: Severity;
  readonly service?: ServiceName;
  readonly title: string;
  readonly explanation: string;
  /** Commands that mend it, to be run as root, one after the other. */
  readonly mend?: readonly string[];
}

interface Look {
  readonly snapshot: Snapshot;
  readonly lines: readonly ServiceLine[];
}

type Check = (look: Look) => readonly Finding[];

/** Everything that is wrong, worst first. */
export function diagnose(snapshot: Snapshot): readonly Finding[] {
  if (!snapshot.hasVmbus) return noBus(snapshot);
  const look = { snapshot, lines: summarize(snapshot) };
  const order: readonly Severity[] = ['problem', 'warning', 'note'];
  return CHECKS.flatMap((check) => check(look)).sort(
    (a, b) => order.indexOf(a.severity) - order.indexOf(b.severity),
  );
}

function noBus(snapshot: Snapshot): readonly Finding[] {
  return snapshot.isHyperV
    ? [
        {
          id: 'no-vmbus',
          severity: 'problem',
          title: noVmbus(snapshot),
          explanation:
            'Nothing of the integration services works without it, nor do synthetic disks ' +
            'and networks.',
          mend: ['modprobe hv_vmbus', 'modprobe hv_utils'],
        },
      ]
    : [
        {
          id: 'no-hyper-v',
          severity: 'problem',
          title: noVmbus(snapshot),
          explanation:
            'vmic has nothing to do here: its services start on Hyper-V and Azure only, and ' +
            'can be left installed in an image.',
        },
      ];
}

/**
 * Whose job it is, by what the kernel is: what hv_utils has no char device for goes to user space.
 */
const hasUtilsDevice = ({ utilsDevices }: Snapshot, service: ServiceName): boolean =>
  utilsDevices.includes(`hv_${service}`);

const hasUnit = ({ units }: Snapshot, unit: string): boolean =>
  units !== undefined && Object.hasOwn(units, unit);

/** The commands that have somebody of ours answer. */
function startCommands(snapshot: Snapshot, service: ServiceName): string[] {
  const onDemand = service === 'vss' || service === 'fcopy';
  const socket = `vmic-${service}.socket`;
  if (!onDemand || !hasUnit(snapshot, socket))
    return [`systemctl enable --now vmic-${service}.service`];
  // From Linux 6.10 on file copies have no char device: an instance of another unit has their UIO
  // device
  if (service !== 'fcopy' || hasUtilsDevice(snapshot, service))
    return [`systemctl enable --now ${socket}`];
  const device = snapshot.channels.fcopy?.device;
  return [
    `systemctl enable ${socket}`,
    device === undefined
      ? 'systemctl enable --now vmic-fcopy-channel.service'
      : `systemctl start vmic-fcopy@${device.replace('/dev/', '')}.socket`,
  ];
}

const noUtils: Check = ({ snapshot }) =>
  snapshot.modules.includes('hv_utils') ||
  Object.values(snapshot.channels).every(({ driver }) => driver === 'uio_hv_generic')
    ? []
    : [
        {
          id: 'hv-utils-missing',
          severity: 'problem',
          title: 'The module hv_utils is not loaded.',
          explanation:
            'It answers heartbeat, shutdown and time, and makes the devices for data ' +
            'exchange and backups. Some minimal kernels leave it out: then install the full one.',
          mend: ['modprobe hv_utils'],
        },
      ];

const unbound: Check = ({ snapshot, lines }) =>
  lines.flatMap((line): Finding[] => {
    if (line.channel === undefined || line.owner !== undefined) return [];
    const { service } = line;
    if (service === 'fcopy') {
      return [
        {
          id: 'channel-unbound',
          severity: 'problem',
          service,
          title: 'The channel of file copies is bound to no driver.',
          explanation:
            `hv_utils has no file copy since Linux 6.10 (this is ${snapshot.kernel}), and not ` +
            'every kernel since gives the channel to user space by itself. Copy-VMFile fails ' +
            'with 0x800710DF.',
          mend: hasUnit(snapshot, 'vmic-fcopy.socket')
            ? startCommands(snapshot, service)
            : ['vmic bind fcopy'],
        },
      ];
    }
    return [
      {
        id: 'channel-unbound',
        severity: 'problem',
        service,
        title: `The channel of ${service} is bound to no driver.`,
        explanation: 'Nobody answers; a host shows "No Contact".',
        mend: [`vmic release ${service}`],
      },
    ];
  });

const silent: Check = ({ snapshot, lines }) =>
  lines.flatMap((line): Finding[] => {
    const { service, owner } = line;
    if (line.answerer !== 'nobody' || owner === undefined) return [];
    if (owner === 'uio_hv_generic') {
      return [
        {
          id: 'user-space-silent',
          severity: 'problem',
          service,
          title:
            `The channel of ${service} is in user space (${line.device ?? 'no device yet'}), ` +
            'and no daemon answers.',
          explanation:
            'The kernel does not answer in its place; a host shows "No Contact" or "Lost ' +
            'Communication".',
          mend: answersInKernel(service)
            ? [`systemctl start vmic-${service}.service`, `# or: vmic release ${service}`]
            : startCommands(snapshot, service),
        },
      ];
    }
    if (owner !== 'hv_utils') return [];
    if (!hasUtilsDevice(snapshot, service)) {
      return [
        {
          id: 'device-missing',
          severity: 'problem',
          service,
          title:
            `hv_utils has the channel of ${service}, but there is no ` +
            `/dev/vmbus/hv_${service}.`,
          explanation:
            'The device is made when the channel is found; without it no daemon can register.',
          mend: ['modprobe -r hv_utils', 'modprobe hv_utils'],
        },
      ];
    }
    return [
      {
        id: 'no-daemon',
        // What nobody uses need not be answered
        severity: service === 'kvp' ? 'problem' : 'warning',
        service,
        title: `No daemon answers ${WORDS[service] ?? service}.`,
        explanation:
          'hv_utils passes these requests to a program that has registered on ' +
          `/dev/vmbus/hv_${service}; none has. A host's requests fail.`,
        mend: startCommands(snapshot, service),
      },
    ];
  });

const WORDS: Partial<Record<ServiceName, string>> = {
  kvp: 'data exchange (KVP)',
  vss: 'backups (VSS)',
  fcopy: 'file copies',
};

const waiting: Check = ({ lines }) =>
  lines.flatMap((line): Finding[] =>
    line.answerer !== 'waiting'
      ? []
      : [
          {
            id: 'daemon-waits',
            severity: 'problem',
            service: line.service,
            title: `vmic-${line.service} runs, but waits for its channel.`,
            explanation: line.waitingFor ?? 'Its log says for what.',
            mend: [`journalctl -b -u vmic-${line.service} --no-pager | tail`],
          },
        ],
  );

const mismatch: Check = ({ lines }) =>
  lines.flatMap((line): Finding[] => {
    const { service, versions, counters } = line;
    if (versions !== undefined || !counters?.['negotiations']) return [];
    return [
      {
        id: 'no-common-version',
        severity: 'problem',
        service,
        title: `The host and vmic-${service} have no version of their protocol in common.`,
        explanation:
          'A host shows "protocol version mismatch" or "No Contact". The log has the ' +
          'versions of both.',
        mend: [`journalctl -b -u vmic-${service} --no-pager --grep 'No version in common'`],
      },
    ];
  });

const failedUnits: Check = ({ snapshot }) =>
  Object.entries(snapshot.units ?? {}).flatMap(([unit, { active, result }]): Finding[] =>
    active !== 'failed' || !unit.startsWith('vmic-')
      ? []
      : [
          {
            id: 'unit-failed',
            severity: 'problem',
            service: SERVICE_NAMES.find((name) => new RegExp(`^vmic-${name}[-@.]`).test(unit))!,
            title: `${unit} has failed (${result}).`,
            explanation: 'systemd gave it up after several tries. Its log says why.',
            mend: [
              `journalctl -b -u ${unit} --no-pager | tail -n 20`,
              `systemctl reset-failed ${unit}`,
              `systemctl start ${unit}`,
            ],
          },
        ],
  );

const cDaemons: Check = ({ snapshot }) =>
  snapshot.processes.filter(isCDaemon).flatMap((process): Finding[] => {
    const service = serviceOfCDaemon(process);
    const { status, isRunning } = snapshot.daemons[service] ?? { isRunning: false };
    const unit = cUnitOf(snapshot, service);
    const stop = unit === undefined ? `kill ${process.pid}` : `systemctl disable --now ${unit}`;
    const blocks = isRunning && status?.state === 'waiting';
    return [
      {
        id: 'c-daemon',
        severity: blocks ? 'problem' : 'warning',
        service,
        title: `The C daemon ${process.name} (process ${process.pid}) answers ${WORDS[service]}.`,
        explanation: blocks
          ? `vmic-${service} waits for the device that it has open: only one can.`
          : 'It works without vmic, with known defects; only one of the two can have the device.',
        mend: [stop, ...startCommands(snapshot, service)],
      },
    ];
  });

function cUnitOf({ units = {} }: Snapshot, service: ServiceName): string | undefined {
  return cDaemonUnits(service).find((unit) => units[unit]?.active === 'active');
}

const CLOCKS: Readonly<Record<string, ClockProgram>> = Object.fromEntries(
  CLOCK_PROGRAMS.filter(({ mayFeed }) => !mayFeed).map((clock) => [clock.process, clock]),
);

const clocks: Check = ({ snapshot }) => {
  const running = [...new Set(snapshot.processes.map(({ name }) => name))].filter((name) =>
    Object.hasOwn(CLOCKS, name),
  );
  const names = running.map((name) => CLOCKS[name]!.program);
  const stop = (name: string): string => {
    const { program, units } = CLOCKS[name]!;
    const unit = units.find((candidate) => snapshot.units?.[candidate]?.active === 'active');
    return unit === undefined ? `# stop ${program}` : `systemctl disable --now ${unit}`;
  };
  const findings: Finding[] = [];
  if (running.length > 1) {
    findings.push({
      id: 'clock-two-programs',
      severity: 'problem',
      title: `The clock is disciplined by ${names.join(' and ')} at once.`,
      explanation: 'They correct each other: the clock wanders and may jump. Keep one.',
      mend: running.slice(1).map(stop),
    });
  }
  const { status, isRunning } = snapshot.daemons.timesync ?? { isRunning: false };
  if (running.length > 0 && isRunning && status?.details?.['mode'] === 'discipline') {
    findings.push({
      id: 'clock-vmic-and-other',
      severity: 'problem',
      service: 'timesync',
      title: `The clock is disciplined by vmic-timesync and by ${names.join(' and ')}.`,
      explanation:
        'mode = "discipline" is configured, or the other program started later. By itself ' +
        'vmic-timesync leaves the clock to it.',
      mend: [
        '# remove mode = "discipline" from section [timesync] of /etc/vmic/config.toml',
        'systemctl restart vmic-timesync.service',
      ],
    });
  }
  return findings;
};

/** The host writes its values soon after it finds the daemon. */
const HOST_WRITES_WITHIN_SECS = 300;
/** Pools of which a copied image may have values of another machine. */
const TOLD_POOLS: readonly number[] = [KvpPool.external, KvpPool.guest, KvpPool.autoExternal];

const pools: Check = ({ snapshot, lines }) => {
  const { directory, exists, files } = snapshot.pools;
  const kvp = lines.find(({ service }) => service === 'kvp')!;
  if (!exists) {
    return kvp.answerer === 'nobody' || kvp.answerer === 'waiting'
      ? []
      : [
          {
            id: 'pools-missing',
            severity: 'problem',
            service: 'kvp',
            title: `There is no folder ${directory} for the pools.`,
            explanation: 'Nothing that the host writes can be kept.',
            mend: [`mkdir -m 755 ${directory}`, 'systemctl restart vmic-kvp.service'],
          },
        ];
  }
  const bootMs = snapshot.takenMs - snapshot.uptimeSecs * 1000;
  return files.flatMap((file): Finding[] => {
    const found: Finding[] = [];
    const add = (
      id: string,
      severity: Severity,
      title: string,
      explanation: string,
      mend: readonly string[],
    ): void => {
      found.push({ id, severity, service: 'kvp', title, explanation, mend });
    };
    if ((file.mode & 0o022) !== 0) {
      add(
        'pool-writable',
        'problem',
        `${file.path} can be written by others than its owner (mode ${file.mode.toString(8)}).`,
        'Any user could tell the host, or programs that trust what the host wrote, whatever ' +
          'he likes.',
        [`chmod go-w ${file.path}`],
      );
    } else if ((file.mode & 0o777) !== 0o644 && (file.mode & 0o777) !== 0o600) {
      add(
        'pool-mode',
        'warning',
        `${file.path} has mode ${file.mode.toString(8)}; programs expect 644, or 600 where ` +
          'values are secret.',
        'cloud-init, WALinuxAgent and others read these files by path.',
        [`chmod 644 ${file.path}`],
      );
    }
    if (file.uid !== 0) {
      add(
        'pool-owner',
        'problem',
        `${file.path} belongs to the user ${file.uid} instead of root.`,
        'That user could change what the host and privileged programs read.',
        [`chown root: ${file.path}`],
      );
    }
    if (file.sizeBytes % RECORD_BYTES !== 0) {
      add(
        'pool-damaged',
        'warning',
        `${file.path} does not hold whole records (${file.sizeBytes} bytes, records are ` +
          `${RECORD_BYTES}).`,
        'A writer was killed halfway, as the C daemon leaves it, or the disk was full. Whole ' +
          'records are still read.',
        [`vmic kvp list --pool ${file.pool}`, 'vmic generalize'],
      );
    }
    const hasData = file.sizeBytes >= RECORD_BYTES;
    const isOlderThanMachine =
      snapshot.machineIdMs !== undefined &&
      file.modifiedMs < snapshot.machineIdMs &&
      file.modifiedMs < bootMs;
    if (hasData && isOlderThanMachine && TOLD_POOLS.includes(file.pool)) {
      add(
        'pool-stale',
        'warning',
        `${file.path} is older than this machine: its values come from the image it was made of.`,
        'They may name another machine, or hold its secrets.',
        ['vmic generalize'],
      );
    } else if (
      hasData &&
      file.pool === KvpPool.autoExternal &&
      file.modifiedMs < bootMs &&
      snapshot.uptimeSecs > HOST_WRITES_WITHIN_SECS &&
      kvp.answerer !== 'nobody'
    ) {
      add(
        'pool-not-refreshed',
        'note',
        `${file.path} is older than this boot: the host has written nothing since.`,
        'A host writes its own name, and that of the virtual machine, when the machine ' +
          'starts. After a live migration, or with data exchange switched off for a while, ' +
          'they are old.',
        [],
      );
    }
    return found;
  });
};

const backups: Check = ({ snapshot }) => {
  const { current, last } = snapshot.backups ?? {};
  if (current && !current.isAlive) {
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
  }
  if (current || !last || last.result === 'thawed') return [];
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

const copies: Check = ({ snapshot }) => {
  const last = snapshot.copies?.last;
  if (last?.result !== 'diskFull' && last?.result !== 'failed') return [];
  return [
    {
      id: 'copy-failed',
      severity: 'warning',
      service: 'fcopy',
      title:
        `The last file of a host, ${last.target}, could not be copied: ` +
        `${COPY_RESULTS[last.result]}.`,
      explanation: `${last.reason ?? 'There is no reason on record'}. Nothing is left of it.`,
      mend: ['vmic fcopy status', 'df -h'],
    },
  ];
};

const denials: Check = ({ snapshot }) => {
  if (snapshot.denials === undefined) {
    return [
      {
        id: 'denials-unknown',
        severity: 'note',
        title: 'Whether SELinux or AppArmor denied something can be seen by root only.',
        explanation: 'The logs of kernel and audit could not be read.',
        mend: ['vmic doctor'],
      },
    ];
  }
  if (snapshot.denials.length === 0) return [];
  const isSelinux = snapshot.denials.some((line) => /avc:/.test(line));
  return [
    {
      id: 'access-denied',
      severity: 'problem',
      title: `${isSelinux ? 'SELinux' : 'AppArmor'} denied something to the integration services.`,
      explanation: snapshot.denials.slice(-3).join('\n'),
      mend: isSelinux
        ? [
            'restorecon -Rv /usr/lib/vmic /usr/bin/vmic* /var/lib/hyperv /run/vmic',
            'ausearch -m avc -ts boot | audit2why',
          ]
        : ['aa-status', "journalctl -b -k --no-pager --grep 'apparmor=.DENIED'"],
    },
  ];
};

const hvSock: Check = ({ snapshot }) =>
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

/** Kernels from about here on have an uio_hv_generic that takes channels without a monitor page. */
const UIO_KERNEL = [6, 12] as const;

const oldKernel: Check = ({ snapshot }) => {
  const [major = 0, minor = 0] = snapshot.kernel
    .split('.')
    .map((part) => Number.parseInt(part, 10));
  if (major > UIO_KERNEL[0] || (major === UIO_KERNEL[0] && minor >= UIO_KERNEL[1])) return [];
  const wanted = SERVICE_NAMES.filter(
    (service) =>
      answersInKernel(service) &&
      snapshot.units?.[`vmic-${service}.service`]?.enabled === 'enabled',
  );
  return wanted.length === 0
    ? []
    : [
        {
          id: 'kernel-too-old',
          severity: 'warning',
          title:
            `This kernel (${snapshot.kernel}) gives no channel to user space: ` +
            `${wanted.join(', ')} ${wanted.length > 1 ? 'are' : 'is'} answered by hv_utils.`,
          explanation:
            'uio_hv_generic refuses them with error 524 before about Linux 6.12. What only ' +
            'vmic does (the state of applications, the reason of a shutdown, a disciplined ' +
            'clock) takes a newer kernel.',
          mend: wanted.map((service) => `systemctl disable vmic-${service}.service`),
        },
      ];
};

const unreadable: Check = ({ snapshot }) =>
  Object.entries(snapshot.daemons).flatMap(([service, { problem }]): Finding[] =>
    problem === undefined
      ? []
      : [
          {
            id: 'status-unreadable',
            severity: 'warning',
            service: service as ServiceName,
            title: `What vmic-${service} says of itself can't be read.`,
            explanation: problem,
            mend: [`systemctl try-restart vmic-${service}.service`],
          },
        ],
  );

const unmanaged: Check = ({ lines, snapshot }) =>
  lines.every(({ channel }) => channel === undefined)
    ? [
        {
          id: 'no-channels',
          severity: 'problem',
          title: 'There is a VMBus, but no channel of an integration service.',
          explanation:
            'They are switched off for this virtual machine, or this is WSL, which has none.',
          mend: ['# on the host: Enable-VMIntegrationService -VMName NAME -Name *'],
        },
      ]
    : lines.flatMap((line): Finding[] =>
        line.channel === undefined && cDaemonOf(snapshot, line.service) === undefined
          ? [
              {
                id: 'switched-off',
                severity: 'note',
                service: line.service,
                title: `The service ${line.service} is switched off for this virtual machine.`,
                explanation:
                  line.service === 'fcopy'
                    ? 'That is the default for file copies ("Guest Service Interface").'
                    : 'Only the host can switch it on.',
                mend: [
                  '# on the host: Enable-VMIntegrationService -VMName NAME -Name ' +
                    `"${HOST_NAMES[line.service]}"`,
                ],
              },
            ]
          : [],
      );

/** As PowerShell's Get-VMIntegrationService calls them. */
const HOST_NAMES: Readonly<Record<ServiceName, string>> = {
  heartbeat: 'Heartbeat',
  shutdown: 'Shutdown',
  timesync: 'Time Synchronization',
  kvp: 'Key-Value Pair Exchange',
  vss: 'VSS',
  fcopy: 'Guest Service Interface',
};

const CHECKS: readonly Check[] = [
  noUtils,
  unmanaged,
  unbound,
  silent,
  waiting,
  mismatch,
  failedUnits,
  cDaemons,
  clocks,
  pools,
  backups,
  copies,
  denials,
  oldKernel,
  unreadable,
  hvSock,
];
