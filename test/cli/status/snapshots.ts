import type { Channel, Snapshot } from '../../../cli/status/snapshot.ts';
import { SERVICE_NAMES, type ServiceName } from '../../../protocol/ic/classes.ts';
import type { ServiceStatus } from '../../../runtime/status/status.ts';

const NOW_MS = Date.UTC(2026, 5, 1, 12);
const UPTIME_SECS = 1000;
const BOOT_MS = NOW_MS - UPTIME_SECS * 1000;

/** What a daemon says of itself. */
export const status = (
  service: ServiceName,
  changes: Partial<ServiceStatus> = {},
): ServiceStatus => ({
  service,
  process: { pid: 500, startTicks: '1' },
  uptimeSecs: 990,
  state: 'serving',
  transport: `chardev:/dev/vmbus/hv_${service}`,
  onDemand: false,
  peer: { via: 'hv_utils', versionText: '3.1' },
  lastRequestUptimeSecs: 970,
  counters: { requests: 7 },
  ...changes,
});

export const pool = (
  number: number,
  changes: Partial<Snapshot['pools']['files'][number]> = {},
) => ({
  pool: number,
  path: `/var/lib/hyperv/.kvp_pool_${number}`,
  mode: 0o644,
  uid: 0,
  sizeBytes: 2560,
  modifiedMs: NOW_MS - 60_000,
  ...changes,
});

export const lastCopy = {
  target: '/srv/a',
  sizeBytes: 9,
  receivedBytes: 9,
  result: 'copied',
  endedUptimeSecs: UPTIME_SECS - 60,
  seconds: 1,
} as const;

const channel = (driver?: string): Channel => ({
  name: 'c',
  ...(driver === undefined ? {} : { driver }),
});

/**
 * A guest with Linux 6.12 on which all is well: hv_utils answers what it can, vmic the rest,
 * backups and copies on demand.
 */
export function healthy(changes: Partial<Snapshot> = {}): Snapshot {
  return {
    takenMs: NOW_MS,
    uptimeSecs: UPTIME_SECS,
    kernel: '6.12.43+deb13-cloud-amd64',
    isRoot: true,
    isHyperV: true,
    hasVmbus: true,
    modules: ['hv_vmbus', 'hv_utils', 'uio_hv_generic', 'hv_sock'],
    channels: {
      ...Object.fromEntries(SERVICE_NAMES.map((service) => [service, channel('hv_utils')])),
      fcopy: { name: 'c', driver: 'uio_hv_generic', device: '/dev/uio0' },
    },
    utilsDevices: ['hv_kvp', 'hv_vss'],
    daemons: {
      heartbeat: { isRunning: false },
      shutdown: { isRunning: false },
      timesync: { isRunning: false },
      kvp: { isRunning: true, status: status('kvp') },
      vss: { isRunning: false, status: status('vss', { state: 'left', onDemand: true }) },
      fcopy: {
        isRunning: false,
        status: status('fcopy', {
          state: 'left',
          onDemand: true,
          peer: {
            via: 'vmbus',
            framework: { major: 3, minor: 0 },
            message: { major: 1, minor: 1 },
          },
        }),
      },
    },
    processes: [{ pid: 300, name: 'chronyd', command: '/usr/sbin/chronyd -F 1' }],
    units: {
      'vmic-kvp.service': { active: 'active', enabled: 'enabled', result: 'success' },
      'vmic-vss.socket': { active: 'active', enabled: 'enabled', result: 'success' },
      'vmic-vss.service': { active: 'inactive', enabled: 'disabled', result: 'success' },
      // Over UIO an instance has the channel
      'vmic-fcopy.socket': { active: 'inactive', enabled: 'enabled', result: 'success' },
      'vmic-fcopy@uio0.socket': { active: 'active', enabled: 'static', result: 'success' },
      'vmic-fcopy.service': { active: 'inactive', enabled: 'disabled', result: 'success' },
      'chrony.service': { active: 'active', enabled: 'enabled', result: 'success' },
    },
    pools: {
      directory: '/var/lib/hyperv',
      exists: true,
      files: [0, 1, 2, 3, 4].map((number) => pool(number)),
    },
    machineIdMs: BOOT_MS - 86_400_000,
    denials: [],
    ...changes,
  };
}

/** The healthy guest with something else about one service. */
export function withService(
  service: ServiceName,
  { channel: on, daemon }: { channel?: Channel | null; daemon?: Snapshot['daemons'][ServiceName] },
  changes: Partial<Snapshot> = {},
): Snapshot {
  const snapshot = healthy(changes);
  const { [service]: old, ...others } = snapshot.channels;
  return {
    ...snapshot,
    channels: on === null ? others : { ...others, [service]: on ?? old! },
    daemons: { ...snapshot.daemons, [service]: daemon ?? snapshot.daemons[service]! },
  };
}

export { BOOT_MS, NOW_MS };
