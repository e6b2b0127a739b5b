import { RECORD_BYTES } from '../../daemons/kvp/pools/record.ts';
import { KvpPool } from '../../protocol/kvp/types.ts';
import type { PoolSeen } from '../status/snapshot.ts';
import type { Answerer } from '../status/status.ts';
import { serviceUnit } from '../status/units.ts';
import { type Check, type Finding, type Look, present } from './finding.ts';

/** The host writes its values soon after it finds the daemon. */
const HOST_WRITES_WITHIN_SECS = 300;

/** Pools whose values describe one machine. */
const OF_ONE_MACHINE: readonly number[] = [KvpPool.external, KvpPool.guest, KvpPool.autoExternal];

/** Looks at one pool file. */
type PoolCheck = (file: PoolSeen, look: Look) => Finding | undefined;

const kvpAnswerer = ({ lines }: Look): Answerer | undefined =>
  lines.find(({ service }) => service === 'kvp')?.answerer;

const directoryMissing: Check = (look) => {
  const { directory, exists } = look.snapshot.pools;
  const answerer = kvpAnswerer(look);
  if (exists || answerer === 'nobody' || answerer === 'waiting') return [];
  return [
    {
      id: 'pools-missing',
      severity: 'problem',
      service: 'kvp',
      title: `There is no folder ${directory} for the pools.`,
      explanation: 'Nothing that the host writes can be kept.',
      mend: [`mkdir -m 755 ${directory}`, `systemctl restart ${serviceUnit('kvp')}`],
    },
  ];
};

const isWritable = ({ mode }: PoolSeen): boolean => (mode & 0o022) !== 0;

const writable: PoolCheck = (file) =>
  !isWritable(file)
    ? undefined
    : {
        id: 'pool-writable',
        severity: 'problem',
        service: 'kvp',
        title:
          `${file.path} can be written by others than its owner ` +
          `(mode ${file.mode.toString(8)}).`,
        explanation:
          'Any user could tell the host, or programs that trust what the host wrote, whatever ' +
          'he likes.',
        mend: [`chmod go-w ${file.path}`],
      };

const unusualMode: PoolCheck = (file) =>
  isWritable(file) || [0o644, 0o600].includes(file.mode & 0o777)
    ? undefined
    : {
        id: 'pool-mode',
        severity: 'warning',
        service: 'kvp',
        title:
          `${file.path} has mode ${file.mode.toString(8)}; programs expect 644, or 600 where ` +
          'values are secret.',
        explanation: 'cloud-init, WALinuxAgent and others read these files by path.',
        mend: [`chmod 644 ${file.path}`],
      };

const foreignOwner: PoolCheck = ({ path, uid }) =>
  uid === 0
    ? undefined
    : {
        id: 'pool-owner',
        severity: 'problem',
        service: 'kvp',
        title: `${path} belongs to the user ${uid} instead of root.`,
        explanation: 'That user could change what the host and privileged programs read.',
        mend: [`chown root: ${path}`],
      };

const damaged: PoolCheck = ({ pool, path, sizeBytes }) =>
  sizeBytes % RECORD_BYTES === 0
    ? undefined
    : {
        id: 'pool-damaged',
        severity: 'warning',
        service: 'kvp',
        title:
          `${path} does not hold whole records (${sizeBytes} bytes, records are ` +
          `${RECORD_BYTES}).`,
        explanation:
          'A writer was killed halfway, as the C daemon leaves it, or the disk was full. Whole ' +
          'records are still read.',
        mend: [`vmic kvp list --pool ${pool}`, 'vmic generalize'],
      };

/** The file has records, and nothing has written it since the system was started. */
const isFromBefore = ({ sizeBytes, modifiedMs }: PoolSeen, { snapshot }: Look): boolean =>
  sizeBytes >= RECORD_BYTES && modifiedMs < snapshot.takenMs - snapshot.uptimeSecs * 1000;

const isFromImage = (file: PoolSeen, look: Look): boolean =>
  isFromBefore(file, look) &&
  look.snapshot.machineIdMs !== undefined &&
  file.modifiedMs < look.snapshot.machineIdMs &&
  OF_ONE_MACHINE.includes(file.pool);

const stale: PoolCheck = (file, look) =>
  !isFromImage(file, look)
    ? undefined
    : {
        id: 'pool-stale',
        severity: 'warning',
        service: 'kvp',
        title:
          `${file.path} is older than this machine: its values come from the image it was ` +
          'made of.',
        explanation: 'They may name another machine, or hold its secrets.',
        mend: ['vmic generalize'],
      };

const notRefreshed: PoolCheck = (file, look) =>
  file.pool !== KvpPool.autoExternal ||
  !isFromBefore(file, look) ||
  isFromImage(file, look) ||
  look.snapshot.uptimeSecs <= HOST_WRITES_WITHIN_SECS ||
  kvpAnswerer(look) === 'nobody'
    ? undefined
    : {
        id: 'pool-not-refreshed',
        severity: 'note',
        service: 'kvp',
        title: `${file.path} is older than this boot: the host has written nothing since.`,
        explanation:
          'A host writes its own name, and that of the virtual machine, when the machine ' +
          'starts. After a live migration, or with data exchange switched off for a while, ' +
          'they are old.',
        mend: [],
      };

const FILE_CHECKS: readonly PoolCheck[] = [
  writable,
  unusualMode,
  foreignOwner,
  damaged,
  stale,
  notRefreshed,
];

/** All findings about one file stay together. */
const eachFile: Check = (look) => {
  const { exists, files } = look.snapshot.pools;
  return exists
    ? present(files.flatMap((file) => FILE_CHECKS.map((check) => check(file, look))))
    : [];
};

export const poolChecks: readonly Check[] = [directoryMissing, eachFile];
