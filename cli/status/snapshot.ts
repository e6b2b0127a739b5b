import fs from 'node:fs';
import path from 'node:path';
import { type FcopyStatus, readStatus as readFcopyStatus } from '../../daemons/fcopy/status.ts';
import { poolFileName } from '../../daemons/kvp/pools/index.ts';
import { readStatus as readVssStatus, type VssStatus } from '../../daemons/vss/freeze/status.ts';
import { SERVICE_CLASSES, SERVICE_NAMES, type ServiceName } from '../../protocol/ic/classes.ts';
import { KVP_POOL_COUNT } from '../../protocol/kvp/types.ts';
import { CLOCK_PROGRAMS } from '../../runtime/clock-programs.ts';
import { listFolder, readTrimmed, statFile } from '../../runtime/files.ts';
import { serviceOfProcess } from '../../runtime/services.ts';
import {
  DEFAULT_RUNTIME_DIRECTORY,
  readServiceStatus,
  type ServiceStatus,
  statusFile,
} from '../../runtime/status/status.ts';
import { isAlive } from '../../runtime/status/status-file.ts';
import { SysfsVmbus } from '../../runtime/vmbus/index.ts';
import { C_UNITS } from './c-daemons.ts';
import { VMIC_UNITS } from './units.ts';

export interface Channel {
  readonly name: string;
  /** Whose it is; undefined: nobody's. */
  readonly driver?: string;
  /** "/dev/uioN", in user space. */
  readonly device?: string;
}

/** A daemon of ours as its status file tells of it. */
export interface Daemon {
  readonly status?: ServiceStatus;
  readonly isRunning: boolean;
  /** Why its status can't be read. */
  readonly problem?: string;
}

/** What the service of backups tells of itself, for few words. */
export interface BackupsSeen {
  /** A freeze under way. */
  readonly current?: Pick<NonNullable<VssStatus['current']>, 'by' | 'at' | 'mountPoints'> & {
    /** False: the process that froze has ended, and somebody has to clear up. */
    readonly isAlive: boolean;
  };
  readonly last?: Pick<VssStatus['freezes'][number], 'by' | 'at' | 'result' | 'problem'>;
}

/** And that of file copies. */
export type CopiesSeen = Partial<Pick<FcopyStatus, 'copy'>> & {
  readonly last?: FcopyStatus['last'][number];
};

export interface ProcessSeen {
  readonly pid: number;
  /** As the kernel keeps it: 15 characters at most. */
  readonly name: string;
  readonly command: string;
}

/** A unit as `systemctl show` tells of it. */
export interface UnitSeen {
  readonly active: string;
  readonly enabled: string;
  readonly result: string;
}

export interface PoolSeen {
  readonly pool: number;
  readonly path: string;
  readonly mode: number;
  readonly uid: number;
  readonly sizeBytes: number;
  readonly modifiedMs: number;
}

/**
 * All that `vmic status` and `vmic doctor` look at, gathered at one time: plain JSON, so that a
 * machine's can be sent along with a question, and kept as a test's fixture. What could not be seen
 * is absent.
 */
export interface Snapshot {
  readonly takenMs: number;
  readonly uptimeSecs: number;
  readonly kernel: string;
  readonly isRoot: boolean;
  /** The firmware says so. */
  readonly isHyperV: boolean;
  readonly hasVmbus: boolean;
  /** Modules that are loaded, or built in, among those that matter. */
  readonly modules: readonly string[];
  readonly channels: Readonly<Partial<Record<ServiceName, Channel>>>;
  /** Char devices of hv_utils. */
  readonly utilsDevices: readonly string[];
  readonly daemons: Readonly<Partial<Record<ServiceName, Daemon>>>;
  /** Absent: they have told nothing since the system was started. */
  readonly backups?: BackupsSeen;
  readonly copies?: CopiesSeen;
  readonly processes: readonly ProcessSeen[];
  /** Absent: no systemd. */
  readonly units?: Readonly<Record<string, UnitSeen>>;
  readonly pools: {
    readonly directory: string;
    readonly exists: boolean;
    readonly files: readonly PoolSeen[];
  };
  /** When this machine got its identity, where that is known. */
  readonly machineIdMs?: number;
  /** Lines of kernel and audit logs that say "denied" of us. Absent: they can't be read. */
  readonly denials?: readonly string[];
}

const MODULES = ['hv_vmbus', 'hv_utils', 'uio_hv_generic', 'hv_sock'];

/** The units that matter. */
const UNITS: readonly string[] = [
  ...VMIC_UNITS,
  ...C_UNITS,
  ...CLOCK_PROGRAMS.flatMap(({ units }) => units),
];

export interface SnapshotPorts {
  /** Where the file system begins; "/" but in tests. */
  readonly root?: string;
  readonly poolDirectory: string;
  readonly runtimeDirectory?: string;
  /** Runs a program to its end and gives its output; undefined when it can't be run or fails. */
  run(program: string, args: readonly string[]): Promise<string | undefined>;
}

/** Looks at this machine. Never throws for what is not there or can't be read. */
export async function takeSnapshot(ports: SnapshotPorts): Promise<Snapshot> {
  const {
    root = '/',
    poolDirectory,
    runtimeDirectory = path.join(root, DEFAULT_RUNTIME_DIRECTORY),
  } = ports;
  const at = (...parts: string[]): string => path.join(root, ...parts);
  const vmbus = new SysfsVmbus({ sysfs: at('sys') });
  const machineId = statFile(at('etc/machine-id'));
  const backups = backupsOf(path.join(runtimeDirectory, 'vss.json'));
  const copies = copiesOf(statusFile(runtimeDirectory, 'fcopy'));
  const [units, denials] = await Promise.all([readUnits(ports), readDenials(ports)]);
  return {
    takenMs: Date.now(),
    uptimeSecs: Number(readTrimmed(at('proc/uptime'))?.split(' ')[0] ?? 0),
    kernel: readTrimmed(at('proc/sys/kernel/osrelease')) ?? '',
    isRoot: process.geteuid?.() === 0,
    // Microsoft's names in the SMBIOS of its virtual machines of both generations
    isHyperV:
      readTrimmed(at('sys/class/dmi/id/sys_vendor')) === 'Microsoft Corporation' &&
      readTrimmed(at('sys/class/dmi/id/product_name')) === 'Virtual Machine',
    hasVmbus: vmbus.hasVmbus,
    // Also those that are built in and have parameters; hv_vmbus and hv_utils show as what they
    // drive
    modules: MODULES.filter(
      (name) =>
        fs.existsSync(at('sys/module', name)) ||
        fs.existsSync(at('sys/bus/vmbus/drivers', name)) ||
        (name === 'hv_vmbus' && vmbus.hasVmbus),
    ),
    channels: Object.fromEntries(
      SERVICE_NAMES.flatMap((service) => {
        const channel = channelOf(vmbus, service);
        return channel ? [[service, channel]] : [];
      }),
    ),
    utilsDevices: listFolder(at('dev/vmbus')).filter((name) => name.startsWith('hv_')),
    daemons: Object.fromEntries(
      SERVICE_NAMES.map((service) => [service, daemonOf(runtimeDirectory, service)]),
    ),
    ...(backups ? { backups } : {}),
    ...(copies ? { copies } : {}),
    processes: processes(at('proc')),
    ...(units ? { units } : {}),
    pools: poolsOf(at(poolDirectory)),
    ...(machineId ? { machineIdMs: Math.round(machineId.mtimeMs) } : {}),
    ...(denials ? { denials } : {}),
  };
}

function channelOf(vmbus: SysfsVmbus, service: ServiceName): Channel | undefined {
  const [name] = vmbus.find(SERVICE_CLASSES[service]);
  if (name === undefined) return undefined;
  const driver = vmbus.place(name)?.driver;
  const device = vmbus.device(name);
  return {
    name,
    ...(driver === undefined ? {} : { driver }),
    ...(device === undefined ? {} : { device }),
  };
}

function daemonOf(runtimeDirectory: string, service: ServiceName): Daemon {
  try {
    const status = readServiceStatus(statusFile(runtimeDirectory, service), service);
    return status ? { status, isRunning: isAlive(status.process) } : { isRunning: false };
  } catch (error) {
    return { isRunning: false, problem: (error as Error).message };
  }
}

function backupsOf(file: string): BackupsSeen | undefined {
  try {
    const status = readVssStatus(file);
    if (!status) return undefined;
    const { current, freezes } = status;
    const [last] = freezes;
    return {
      ...(current
        ? {
            current: {
              by: current.by,
              at: current.at,
              mountPoints: current.mountPoints,
              isAlive: isAlive(current.process),
            },
          }
        : {}),
      ...(last
        ? {
            last: {
              by: last.by,
              at: last.at,
              result: last.result,
              ...(last.problem === undefined ? {} : { problem: last.problem }),
            },
          }
        : {}),
    };
  } catch {
    return undefined;
  }
}

function copiesOf(file: string): CopiesSeen | undefined {
  try {
    const status = readFcopyStatus(file);
    if (!status) return undefined;
    const { copy, last: all } = status;
    const [last] = all;
    return { ...(copy && isAlive(status.process) ? { copy } : {}), ...(last ? { last } : {}) };
  } catch {
    return undefined;
  }
}

function processes(proc: string): ProcessSeen[] {
  return listFolder(proc).flatMap((pid) => {
    if (!/^\d+$/.test(pid)) return [];
    const name = readTrimmed(path.join(proc, pid, 'comm')) ?? '';
    const command = (readTrimmed(path.join(proc, pid, 'cmdline')) ?? '')
      .replaceAll('\0', ' ')
      .trim();
    // Our daemons go by the C daemons' names, too: their command line begins with Node.js, or is a
    // script of ours
    const isOurs = /\bnode\b|vmic/.test(command);
    const isCDaemon = serviceOfProcess(name) !== undefined && command !== '' && !isOurs;
    if (!isCDaemon && !CLOCK_PROGRAMS.some(({ process }) => process === name)) return [];
    return [{ pid: Number(pid), name, command: command.slice(0, 200) }];
  });
}

async function readUnits({ run }: SnapshotPorts): Promise<Record<string, UnitSeen> | undefined> {
  const output = await run('systemctl', [
    'show',
    '--no-pager',
    '-p',
    'Id,LoadState,ActiveState,UnitFileState,Result',
    ...UNITS,
  ]);
  if (output === undefined) return undefined;
  const units: Record<string, UnitSeen> = {};
  for (const block of output.split(/\n\n+/)) {
    const fields = Object.fromEntries(
      block.split('\n').map((line) => line.split(/=(.*)/s).slice(0, 2)),
    );
    if (!fields['Id'] || fields['LoadState'] === 'not-found') continue;
    units[fields['Id']] = {
      active: fields['ActiveState'] ?? '',
      enabled: fields['UnitFileState'] ?? '',
      result: fields['Result'] ?? '',
    };
  }
  return units;
}

const MAX_DENIALS = 20;

async function readDenials({ run }: SnapshotPorts): Promise<string[] | undefined> {
  const ours = /\b(hv_\w+_daemon|hyperv\w+d|vmic[\w-]*|vmbus|kvp_pool)/;
  // Kernel and audit messages of this boot; without rights to them journalctl gives nothing, or
  // says so on standard error
  const journal = await run('journalctl', [
    '-b',
    '-q',
    '--no-pager',
    '-o',
    'cat',
    '_TRANSPORT=kernel',
    '+',
    '_TRANSPORT=audit',
  ]);
  const log = journal !== undefined && journal.trim() !== '' ? journal : await run('dmesg', []);
  return log
    ?.split('\n')
    .filter((line) => /avc: +denied|apparmor="?DENIED/i.test(line) && ours.test(line))
    .slice(-MAX_DENIALS);
}

function poolsOf(directory: string): Snapshot['pools'] {
  const files = Array.from({ length: KVP_POOL_COUNT }, (_, pool) => {
    const file = path.join(directory, poolFileName(pool));
    const found = statFile(file);
    if (!found) return undefined;
    const { mode, uid, size, mtimeMs } = found;
    return {
      pool,
      path: file,
      mode: mode & 0o7777,
      uid,
      sizeBytes: size,
      modifiedMs: Math.round(mtimeMs),
    };
  });
  return {
    directory,
    exists: fs.existsSync(directory),
    files: files.filter((file) => file !== undefined),
  };
}
