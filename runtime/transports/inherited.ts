import fs from 'node:fs';
import path from 'node:path';
import type { Native } from '../../native/interface.ts';
import { readText, readTrimmed } from '../files.ts';
import { findUio, type OpenChannel, OpenError, type Settled, type Transport } from './transport.ts';

/** The first descriptor that is handed over (sd_listen_fds(3), SD_LISTEN_FDS_START). */
const FIRST_FD = 3;

/** An open channel somebody keeps for us between our lives, as systemd does with ListenSpecial=. */
export interface Inherited {
  readonly fd: number;
  /** Of the rings behind a simulated host's socket; for everything else `fd`. */
  readonly memoryFd: number;
  readonly transport: Settled;
}

/**
 * The descriptors handed over to this process by sd_listen_fds(3)'s protocol; none when it was
 * started otherwise, or when they were meant for another process of this environment. Children must
 * not take them for theirs: the variables are removed.
 */
export function listenFds(env: NodeJS.ProcessEnv, pid = process.pid): readonly number[] {
  const { LISTEN_PID: forPid, LISTEN_FDS: count } = env;
  for (const name of ['LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES']) delete env[name];
  if (forPid !== String(pid) || !/^[1-9]\d{0,3}$/.test(count ?? '')) return [];
  return Array.from({ length: Number(count) }, (_, index) => FIRST_FD + index);
}

/**
 * Checks that what was handed over is this service's channel, and tells where it leads. Whoever
 * holds it keeps others from opening it, so a wrong one is an error, not a reason to open another.
 * Throws OpenError.
 *
 * @param configured what the configuration says; a UIO device of the service's own class is as good
 * as its char device.
 */
export function identify(
  fds: readonly number[],
  configured: Transport,
  classId: string,
  sysfs = '/sys',
): Inherited {
  const wrong = (what: string): never => {
    throw new OpenError(
      `the descriptor handed over by the service manager ${what}: check ListenSpecial= of ` +
        'its socket unit',
      false,
    );
  };
  const [fd, memoryFd, ...more] = fds as readonly [number, ...number[]];
  const isRing = configured.kind === 'unix-ring';
  if (more.length > 0 || (memoryFd !== undefined) !== isRing)
    return wrong(`is one of ${fds.length}, expected 1`);
  let stat: fs.Stats;
  try {
    stat = fs.fstatSync(fd);
  } catch (error) {
    return wrong(`can't be used (${(error as Error).message})`);
  }
  if (stat.isSocket()) {
    if (configured.kind !== 'unix' && configured.kind !== 'unix-ring') return wrong('is a socket');
    return { fd, memoryFd: memoryFd ?? fd, transport: configured };
  }
  if (!stat.isCharacterDevice()) return wrong('is no device');
  // sysfs knows a device by its number, whatever its node is called: dev_t in <sys/sysmacros.h>'s
  // layout
  const [major, minor] = [
    (stat.rdev >>> 8) & 0xfff,
    (stat.rdev & 0xff) | ((stat.rdev >>> 12) & 0xfff00),
  ];
  const device = path.join(sysfs, `dev/char/${major}:${minor}`);
  const name =
    /^DEVNAME=(.*)$/m.exec(readText(path.join(device, 'uevent')) ?? '')?.[1] ?? `${major}:${minor}`;
  if (/^uio\d+$/.test(name)) {
    const found = readTrimmed(path.join(device, 'device/class_id'))?.toLowerCase() ?? '';
    const wanted = 'classId' in configured ? configured.classId : classId;
    if (found !== `{${wanted}}`)
      wrong(`is /dev/${name}, of the class ${found || 'unknown'} instead of {${wanted}}`);
    return { fd, memoryFd: fd, transport: { kind: 'uio', classId: wanted } };
  }
  const file =
    configured.kind === 'chardev' || configured.kind === 'auto' ? configured.path : undefined;
  if (file === undefined || file !== `/dev/${name}`) return wrong(`is /dev/${name}`);
  return { fd, memoryFd: fd, transport: { kind: 'chardev', path: file } };
}

/**
 * The channel of an inherited descriptor, as `openTransport` gives that of one we open. Throws what
 * the system does, and OpenError.
 */
export function adoptTransport(
  native: Native,
  { fd, memoryFd, transport }: Inherited,
  sysfs = '/sys',
): OpenChannel {
  switch (transport.kind) {
    case 'chardev':
    case 'unix':
      return { via: 'hv_utils', channel: native.adoptMessageChannel(fd) };
    case 'unix-ring':
      return {
        via: 'vmbus',
        channel: native.adoptRingChannel(fd, memoryFd, fs.fstatSync(memoryFd).size),
      };
    case 'uio':
      return {
        via: 'vmbus',
        channel: native.adoptRingChannel(fd, fd, findUio(transport.classId, sysfs).mapBytes),
      };
  }
}
