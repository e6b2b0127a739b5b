import { RESULTS as COPY_RESULTS } from '../../daemons/fcopy/status.ts';
import { FREEZE_RESULTS } from '../../daemons/vss/freeze/status.ts';
import { SERVICE_NAMES, type ServiceName } from '../../protocol/ic/classes.ts';
import { formatVersion, type Version } from '../../protocol/ic/version.ts';
import { printable } from '../../runtime/text.ts';
import { cDaemonOf } from './c-daemons.ts';
import type { BackupsSeen, CopiesSeen, Snapshot } from './snapshot.ts';
import { isSocketOf } from './units.ts';

/** Who answers: nobody, the kernel itself, our daemon in one of its states, or a C daemon. */
export type Answerer =
  | 'nobody'
  | 'kernel'
  | 'resident'
  | 'on demand'
  | 'asleep'
  | 'waiting'
  | 'C daemon';

/** One line of `vmic status`. */
export interface ServiceLine {
  readonly service: ServiceName;
  /** Absent: the service is switched off at the host, or there is no VMBus. */
  readonly channel?: string;
  /** The driver that has the channel; absent: none. */
  readonly owner?: string;
  readonly device?: string;
  readonly answerer: Answerer;
  readonly pid?: number;
  /** Agreed on with the host ("3.0/4.0": framework, messages), or the text of hv_utils. */
  readonly versions?: string;
  readonly lastRequestSecsAgo?: number;
  /** What a host's management tools show, as far as that follows from the guest's side. */
  readonly hostSees: string;
  readonly waitingFor?: string;
  readonly counters?: Readonly<Record<string, number>>;
  readonly details?: Readonly<Record<string, unknown>>;
  readonly backups?: BackupsSeen;
  readonly copies?: CopiesSeen;
}

/** What hv_utils answers without a daemon. */
const IN_KERNEL: readonly ServiceName[] = ['heartbeat', 'shutdown', 'timesync'];

export const answersInKernel = (service: ServiceName): boolean => IN_KERNEL.includes(service);

export const summarize = (snapshot: Snapshot): ServiceLine[] =>
  SERVICE_NAMES.map((service) => lineOf(snapshot, service));

function lineOf(snapshot: Snapshot, service: ServiceName): ServiceLine {
  const channel = snapshot.channels[service];
  const answerer = answererOf(snapshot, service);
  const daemon = snapshot.daemons[service];
  const status =
    answerer === 'nobody' || answerer === 'kernel' || answerer === 'C daemon'
      ? undefined
      : daemon?.status;
  const pid = status && daemon?.isRunning ? status.process.pid : cDaemonOf(snapshot, service)?.pid;
  const versions =
    status?.peer &&
    (status.peer.via === 'vmbus' ? agreed(status.peer) : `hv_utils ${status.peer.versionText}`);
  const last = status?.lastRequestUptimeSecs;
  return {
    service,
    ...(channel ? { channel: channel.name } : {}),
    ...(channel?.driver === undefined ? {} : { owner: channel.driver }),
    ...(channel?.device === undefined ? {} : { device: channel.device }),
    answerer,
    ...(pid === undefined ? {} : { pid }),
    ...(versions === undefined ? {} : { versions }),
    ...(last === undefined
      ? {}
      : { lastRequestSecsAgo: Math.max(0, Math.round(snapshot.uptimeSecs - last)) }),
    hostSees: hostSees(snapshot, service, answerer, versions !== undefined),
    ...(status?.waitingFor === undefined ? {} : { waitingFor: status.waitingFor }),
    ...(status ? { counters: status.counters } : {}),
    ...(status?.details ? { details: status.details } : {}),
    ...(service === 'vss' && snapshot.backups ? { backups: snapshot.backups } : {}),
    ...(service === 'fcopy' && snapshot.copies ? { copies: snapshot.copies } : {}),
  };
}

const agreed = ({
  framework,
  message,
}: {
  readonly framework: Version;
  readonly message: Version;
}): string => `${formatVersion(framework)}/${formatVersion(message)}`;

function answererOf(snapshot: Snapshot, service: ServiceName): Answerer {
  const channel = snapshot.channels[service];
  if (!channel) return 'nobody';
  const { status, isRunning } = snapshot.daemons[service] ?? { isRunning: false };
  if (status && isRunning) {
    if (status.state === 'waiting') return cDaemonOf(snapshot, service) ? 'C daemon' : 'waiting';
    return status.onDemand ? 'on demand' : 'resident';
  }
  // Its socket unit has the descriptor; without systemd the last life's word has to do
  if (
    status?.onDemand &&
    status.state === 'left' &&
    (!snapshot.units || isHeld(snapshot.units, service))
  )
    return 'asleep';
  if (cDaemonOf(snapshot, service)) return 'C daemon';
  return channel.driver === 'hv_utils' && answersInKernel(service) ? 'kernel' : 'nobody';
}

/** Some socket unit has the channel: that of its device, or an instance for its UIO device. */
const isHeld = (units: NonNullable<Snapshot['units']>, service: ServiceName): boolean =>
  Object.entries(units).some(
    ([unit, { active }]) => active === 'active' && isSocketOf(unit, service),
  );

function hostSees(
  snapshot: Snapshot,
  service: ServiceName,
  answerer: Answerer,
  negotiated: boolean,
): string {
  if (!snapshot.channels[service]) return 'switched off';
  switch (answerer) {
    case 'nobody':
    case 'waiting':
      return 'No Contact';
    case 'kernel':
      return service === 'heartbeat' ? 'OK (applications unknown)' : 'OK';
    case 'C daemon':
      return 'OK';
    default: {
      if (!negotiated) return 'not negotiated yet';
      const state = snapshot.daemons[service]?.status?.details?.['applicationState'];
      return service === 'heartbeat'
        ? `OK (applications ${typeof state === 'string' ? state : 'unknown'})`
        : 'OK';
    }
  }
}

const HEADERS = ['SERVICE', 'CHANNEL', 'ANSWERED BY', 'VERSIONS', 'LAST REQUEST', 'HOST SEES'];

/** One screen for people. */
export function describeStatus(snapshot: Snapshot, lines: readonly ServiceLine[]): string {
  if (!snapshot.hasVmbus) return `${noVmbus(snapshot)}\n`;
  const rows = lines.map((line) => [
    line.service,
    line.channel === undefined ? '-' : (line.device ?? line.owner ?? 'bound to nobody'),
    answeredBy(line),
    line.versions ?? '-',
    line.lastRequestSecsAgo === undefined ? '-' : ago(line.lastRequestSecsAgo),
    line.hostSees,
  ]);
  const widths = HEADERS.map((header, column) =>
    Math.max(header.length, ...rows.map((row) => row[column]!.length)),
  );
  const table = [HEADERS, ...rows].map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join('  ')
      .trimEnd(),
  );
  const waiting = lines.flatMap(({ service, waitingFor }) =>
    waitingFor === undefined ? [] : [`${service} waits: ${waitingFor}`],
  );
  const more = [...waiting, ...backupLines(snapshot), ...copyLines(snapshot)];
  return `${[...table, ...(more.length > 0 ? ['', ...more] : [])].map(printable).join('\n')}\n`;
}

function backupLines({ backups }: Snapshot): string[] {
  const { current, last } = backups ?? {};
  if (current) {
    const what = current.isAlive ? 'frozen since' : 'INTERRUPTED, a freeze of';
    return [`vss: ${what} ${current.at} for ${who(current.by)}: ${current.mountPoints.join(', ')}`];
  }
  if (!last) return [];
  const problem = last.problem === undefined ? '' : `: ${last.problem}`;
  return [
    `vss: last freeze ${last.at} for ${who(last.by)}: ${FREEZE_RESULTS[last.result]}${problem}`,
  ];
}

const who = (by: 'host' | 'command'): string => (by === 'host' ? 'the host' : 'a command');

function copyLines({ copies, uptimeSecs }: Snapshot): string[] {
  const { copy, last } = copies ?? {};
  if (copy)
    return [
      `fcopy: ${copy.target} is being copied, ${copy.receivedBytes} of ${copy.sizeBytes} ` +
        'bytes are here',
    ];
  if (!last) return [];
  const reason = last.reason === undefined ? '' : `: ${last.reason}`;
  const when = ago(Math.max(0, Math.round(uptimeSecs - last.endedUptimeSecs)));
  return [
    `fcopy: last file ${last.target}, ${when}: ` +
      `${COPY_RESULTS[last.result] ?? last.result}${reason}`,
  ];
}

export const noVmbus = ({ isHyperV }: Snapshot): string =>
  isHyperV
    ? 'This is a Hyper-V guest, but there is no VMBus: the module hv_vmbus is not loaded.'
    : 'This is no Hyper-V guest: there is no VMBus.';

function answeredBy({ answerer, pid }: ServiceLine): string {
  switch (answerer) {
    case 'asleep':
      return 'vmic on demand, asleep';
    case 'on demand':
      return `vmic on demand (${pid})`;
    case 'resident':
      return `vmic (${pid})`;
    case 'waiting':
      return `nobody: vmic waits (${pid})`;
    case 'C daemon':
      return `C daemon (${pid})`;
    default:
      return answerer;
  }
}

function ago(secs: number): string {
  if (secs < 120) return `${secs} s ago`;
  if (secs < 7200) return `${Math.round(secs / 60)} min ago`;
  return secs < 172_800
    ? `${Math.round(secs / 3600)} h ago`
    : `${Math.round(secs / 86_400)} days ago`;
}
