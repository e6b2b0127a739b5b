import type { FreezeTarget } from './guard-types.ts';
import { type Mount, MountTree, parseMountinfo, unescaped } from './mountinfo.ts';

/** What is known of one block device, from /sys/dev/block/MAJOR:MINOR. */
export interface BlockDevice {
  /** As the kernel calls it ("sda1", "dm-0"). */
  readonly name: string;
  /**
   * Device numbers of what it is made of: the disk of a partition, and what lies below a device
   * mapper, RAID or multipath device.
   */
  readonly below: readonly string[];
  /** Of a loop device: the file that is its content. */
  readonly backingFile?: string;
}

/** What is known of block devices, by their number. */
export interface BlockFacts {
  readonly devices: ReadonlyMap<string, BlockDevice>;
  /**
   * The device numbers that a path stands for: several where a file system spans several devices
   * (btrfs).
   */
  readonly numbersOfPath: ReadonlyMap<string, readonly string[]>;
}

/**
 * What an administrator asks for. An item is a mount point, the path of a device, a device number
 * or a kind of file system.
 */
export interface Selection {
  /** When not empty, nothing else is frozen. */
  readonly include: readonly string[];
  readonly exclude: readonly string[];
  /** What may fail to freeze without failing the rest. */
  readonly optional: readonly string[];
  /** Whether file systems in files of frozen file systems are frozen, too, before those. */
  readonly freezesLoops: boolean;
}

export type SkipReason =
  | 'no-device'
  | 'network'
  | 'user-space'
  | 'overlay'
  | 'no-freeze'
  | 'read-only'
  | 'swap'
  | 'excluded'
  | 'not-included'
  | 'in-frozen-file';

export interface Skipped {
  readonly mountPoint: string;
  readonly deviceNumber: string;
  readonly fileSystem: string;
  readonly source: string;
  readonly reason: SkipReason;
  /** In words. */
  readonly why: string;
}

/** What a freeze would do. */
export interface Plan {
  /**
   * One after the other; all of one stage at once. What lies on top comes before what carries it.
   */
  readonly stages: readonly (readonly FreezeTarget[])[];
  /** All other file systems, each once. */
  readonly skipped: readonly Skipped[];
  /** Items of the selection that nothing matches: misspelt, or not mounted. */
  readonly unmatched: readonly string[];
  /** Lines of mountinfo that could not be understood. */
  readonly strangeLines: number;
}

/** One superblock, with all its mounts. */
interface Volume {
  readonly deviceNumber: string;
  readonly fileSystem: string;
  readonly source: string;
  readonly options: string;
  /** The best one to name it by first. */
  readonly mounts: readonly [Mount, ...Mount[]];
}

/** File systems on several devices have a device number that is none of theirs. */
const MANY_DEVICES = ['btrfs', 'bcachefs'];
const NETWORK = [
  'nfs',
  'nfs4',
  'cifs',
  'smb3',
  'smbfs',
  '9p',
  'virtiofs',
  'ceph',
  'afs',
  'lustre',
  'ncpfs',
  'vboxsf',
  'vmhgfs',
  'coda',
];
const OVERLAY = ['overlay', 'overlayfs', 'aufs', 'unionfs', 'ecryptfs', 'shiftfs', 'mergerfs'];
/**
 * Kinds on block devices for which no kernel has a freeze operation (freeze_fs and freeze_super of
 * their super_operations).
 */
const NO_FREEZE = [
  'vfat',
  'msdos',
  'exfat',
  'ntfs',
  'ntfs3',
  'hfs',
  'hfsplus',
  'hpfs',
  'udf',
  'minix',
  'adfs',
  'affs',
  'bfs',
  'omfs',
  'qnx4',
  'qnx6',
  'sysv',
  'v7',
  'ufs',
  'zonefs',
  'ocfs2',
  'zfs',
];

const WORDS: Readonly<Record<Exclude<SkipReason, 'in-frozen-file'>, string>> = {
  'no-device': 'is on no block device',
  network: 'is kept by another machine',
  'user-space': 'is kept by a program in user space (FUSE)',
  overlay: 'writes to other file systems, which are judged by themselves',
  'no-freeze': 'the kernel has no freeze for this kind of file system',
  'read-only': 'is read-only',
  swap: 'is swap space, no file system',
  excluded: 'the configuration excludes it (vss.exclude)',
  'not-included': 'the configuration includes others (vss.include)',
};

/**
 * Which file systems are frozen, in which order, and which are not, and why. Pure: `mountinfo` and
 * `swaps` are the texts of /proc. Any text will do.
 *
 * A file system in a file (a loop device) of another one that is frozen is left out by default: its
 * writes wait in that one, so a snapshot holds it as a power cut would leave it, which its journal
 * is for. To freeze it, too, needs no less than its carrier's time once more.
 */
export function plan(
  mountinfo: string,
  swaps: string,
  facts: BlockFacts,
  selection: Selection,
): Plan {
  const { mounts, strangeLines } = parseMountinfo(mountinfo);
  const tree = new MountTree(mounts);
  const volumes = volumesOf(mounts, tree);
  const reasons = new Map(volumes.map((volume) => [volume, reasonOf(volume, facts, selection)]));
  const carriers = carriersOf(volumes, tree, facts);

  const held = new Map<Volume, Volume | undefined>();
  /**
   * The frozen file system in which all that is written to this one ends up; itself, if it can be
   * frozen.
   */
  const heldBy = (volume: Volume): Volume | undefined => {
    if (held.has(volume)) return held.get(volume);
    // For a chain that ends in itself, which none does
    held.set(volume, undefined);
    let holder: Volume | undefined;
    for (const carrier of carriers.get(volume) ?? []) holder ??= heldBy(carrier);
    if (reasons.get(volume) === undefined && (holder === undefined || selection.freezesLoops))
      holder = volume;
    held.set(volume, holder);
    return holder;
  };

  const frozen = volumes.filter((volume) => heldBy(volume) === volume);
  const skipped = volumes.flatMap((volume): Skipped[] => {
    if (heldBy(volume) === volume) return [];
    const reason = reasons.get(volume);
    if (reason) return [skip(volume, reason, WORDS[reason])];
    const [{ mountPoint }] = heldBy(volume)!.mounts;
    return [
      skip(volume, 'in-frozen-file', `is in a file that ends up on ${mountPoint}, which is frozen`),
    ];
  });
  return {
    stages: stagesOf(frozen, carriers).map((stage) =>
      stage.map((volume) => target(volume, facts, selection)),
    ),
    skipped: [...skipped, ...swapsOf(swaps)],
    unmatched: [
      ...new Set([...selection.include, ...selection.exclude, ...selection.optional]),
    ].filter((item) => !volumes.some((volume) => matches(item, volume, facts))),
    strangeLines,
  };
}

function volumesOf(mounts: readonly Mount[], tree: MountTree): Volume[] {
  const byNumber = new Map<string, Mount[]>();
  for (const mount of mounts) {
    const same = byNumber.get(mount.deviceNumber);
    if (same) same.push(mount);
    else byNumber.set(mount.deviceNumber, [mount]);
  }
  return [...byNumber].map(([deviceNumber, all]) => {
    const sorted = all.sort(
      (a, b) => rank(b, tree) - rank(a, tree) || a.mountPoint.length - b.mountPoint.length,
    );
    const { fileSystem, source, superblockOptions } = sorted[0]!;
    return {
      deviceNumber,
      fileSystem,
      source,
      options: superblockOptions,
      mounts: sorted as [Mount, ...Mount[]],
    };
  });
}

/**
 * A mount that can be opened by its name is better than one that is hidden, and all of a file
 * system better than a part of it.
 */
const rank = (mount: Mount, tree: MountTree): number =>
  (tree.isVisible(mount) ? 2 : 0) + (mount.root === '/' ? 1 : 0);

function reasonOf(
  volume: Volume,
  facts: BlockFacts,
  selection: Selection,
): Exclude<SkipReason, 'in-frozen-file'> | undefined {
  const { fileSystem, deviceNumber, options } = volume;
  const matchesAny = (items: readonly string[]): boolean =>
    items.some((item) => matches(item, volume, facts));
  if (/^fuse(blk)?(\.|$)/.test(fileSystem)) return 'user-space';
  if (NETWORK.includes(fileSystem)) return 'network';
  if (OVERLAY.includes(fileSystem)) return 'overlay';
  if (deviceNumber.startsWith('0:') && ![...MANY_DEVICES, 'zfs'].includes(fileSystem))
    return 'no-device';
  if (/^ro(,|$)/.test(options)) return 'read-only';
  if (NO_FREEZE.includes(fileSystem)) return 'no-freeze';
  if (matchesAny(selection.exclude)) return 'excluded';
  return selection.include.length === 0 || matchesAny(selection.include)
    ? undefined
    : 'not-included';
}

function matches(item: string, volume: Volume, facts: BlockFacts): boolean {
  const { fileSystem, deviceNumber, source, mounts } = volume;
  if (!item.startsWith('/')) return item === fileSystem || item === deviceNumber;
  const path = item.length > 1 ? item.replace(/\/+$/, '') : item;
  if (mounts.some(({ mountPoint }) => mountPoint === path) || source === path) return true;
  const numbers = facts.numbersOfPath.get(path) ?? [];
  return numbers.length > 0 && devicesOf(volume, facts).some((number) => numbers.includes(number));
}

/** The block devices on which a file system is. */
const devicesOf = (
  { deviceNumber, source, fileSystem }: Volume,
  facts: BlockFacts,
): readonly string[] =>
  deviceNumber.startsWith('0:')
    ? MANY_DEVICES.includes(fileSystem)
      ? (facts.numbersOfPath.get(source) ?? [])
      : []
    : [deviceNumber];

/**
 * On which others each file system lies: by loop devices, anywhere below its devices, and their
 * files; an overlay by its upper layer.
 */
function carriersOf(
  volumes: readonly Volume[],
  tree: MountTree,
  facts: BlockFacts,
): ReadonlyMap<Volume, readonly Volume[]> {
  const byNumber = new Map(volumes.map((volume) => [volume.deviceNumber, volume]));
  return new Map(
    volumes.map((volume) => {
      const carriers = new Set<Volume>();
      const seen = new Set<string>();
      const liesOn = (path: string | undefined): void => {
        if (!path?.startsWith('/')) return;
        // Not itself: it may be mounted over the folder its own file is in
        const mount = tree.mountOf(path, volume.deviceNumber);
        const carrier = mount && byNumber.get(mount.deviceNumber);
        if (carrier && carrier !== volume) carriers.add(carrier);
      };
      const look = (number: string): void => {
        if (seen.has(number)) return;
        seen.add(number);
        const device = facts.devices.get(number);
        liesOn(device?.backingFile);
        for (const below of device?.below ?? []) look(below);
      };
      for (const number of devicesOf(volume, facts)) look(number);
      if (volume.fileSystem === 'overlay')
        liesOn(/,upperdir=((?:[^,\\]|\\.)*)/.exec(volume.options)?.[1]);
      return [volume, [...carriers]];
    }),
  );
}

/**
 * What lies on others comes before them; all else comes as late as possible, to be frozen for no
 * longer than needed.
 */
function stagesOf(
  frozen: readonly Volume[],
  carriers: ReadonlyMap<Volume, readonly Volume[]>,
): Volume[][] {
  const heights = new Map<Volume, number>();
  const heightOf = (volume: Volume): number => {
    const known = heights.get(volume);
    if (known !== undefined) return known;
    heights.set(volume, 0);
    const below = [...reach(volume, carriers)].filter((carrier) => frozen.includes(carrier));
    const height = Math.max(0, ...below.map((carrier) => heightOf(carrier) + 1));
    heights.set(volume, height);
    return height;
  };
  const stages: Volume[][] = [];
  for (const volume of frozen) {
    const height = heightOf(volume);
    while (stages.length <= height) stages.push([]);
    stages[height]!.push(volume);
  }
  return stages.filter((stage) => stage.length > 0).reverse();
}

/** All that carries it, through however many others. */
function reach(volume: Volume, carriers: ReadonlyMap<Volume, readonly Volume[]>): Set<Volume> {
  const reached = new Set<Volume>();
  const go = (from: Volume): void => {
    for (const carrier of carriers.get(from) ?? []) {
      if (carrier === volume || reached.has(carrier)) continue;
      reached.add(carrier);
      go(carrier);
    }
  };
  go(volume);
  return reached;
}

function target(volume: Volume, facts: BlockFacts, { optional }: Selection): FreezeTarget {
  const { deviceNumber, fileSystem, source, mounts } = volume;
  return {
    mountPoint: mounts[0].mountPoint,
    deviceNumber,
    fileSystem,
    source,
    optional: optional.some((item) => matches(item, volume, facts)),
  };
}

const skip = (
  { deviceNumber, fileSystem, source, mounts }: Volume,
  reason: SkipReason,
  why: string,
): Skipped => ({
  mountPoint: mounts[0].mountPoint,
  deviceNumber,
  fileSystem,
  source,
  reason,
  why,
});

/** /proc/swaps: a line of headings, then file name (escaped as in mountinfo), kind, and numbers. */
function swapsOf(text: string): Skipped[] {
  return text
    .split('\n')
    .slice(1)
    .flatMap((line) => {
      const source = unescaped(line.split(/\s/, 1)[0]!);
      return source
        ? [
            {
              mountPoint: '',
              deviceNumber: '',
              fileSystem: 'swap',
              source,
              reason: 'swap' as const,
              why: WORDS.swap,
            },
          ]
        : [];
    });
}
