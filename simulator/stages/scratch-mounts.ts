import path from 'node:path';
import type { ScratchFileSystem, ScratchKind } from './scratch.ts';

const LOOP_MAJOR = 7;
/** Kinds whose superblocks have no block device's number. */
const ANONYMOUS = ['btrfs', 'zfs', 'bcachefs'];

/**
 * Finds the scratch file systems of `kinds`, which are mounted in `folder`. Throws an Error when
 * another file system could be frozen, or one of them is missing.
 */
export function findFileSystems(
  mountinfo: string,
  folder: string,
  kinds: readonly ScratchKind[],
): ScratchFileSystem[] {
  const found = new Map<string, ScratchFileSystem>();
  const mountPoints = kinds.map((_, index) => path.join(folder, String(index)));
  for (const line of mountinfo.trimEnd().split('\n')) {
    const [left, right] = line.split(' - ') as [string, string];
    const [, , deviceNumber = '', , mountPoint = ''] = left.split(' ');
    const [fileSystem = '', source = ''] = right.split(' ');
    const index = mountPoints.indexOf(mountPoint);
    const major = Number(deviceNumber.split(':')[0]);
    if (
      index >= 0 &&
      (major === LOOP_MAJOR || (fileSystem === 'btrfs' && source.startsWith('/dev/loop')))
    ) {
      found.set(mountPoint, { kind: kinds[index]!, mountPoint, deviceNumber, source });
    } else if (major !== 0 || ANONYMOUS.includes(fileSystem)) {
      throw new Error(
        `${mountPoint} (${source}) is a file system of this machine, and would be frozen: ` +
          `${line}`,
      );
    }
  }
  return mountPoints.map((mountPoint) => {
    const fileSystem = found.get(mountPoint);
    if (fileSystem === undefined) throw new Error(`${mountPoint} is not mounted`);
    return fileSystem;
  });
}
