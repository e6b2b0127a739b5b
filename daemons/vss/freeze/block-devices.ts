import fs from 'node:fs';
import path from 'node:path';
import { listFolder, readText } from '../../../runtime/files.ts';
import { parseMountinfo } from './mountinfo.ts';
import type { BlockDevice, BlockFacts } from './plan.ts';

/**
 * What sysfs says about the devices of all mounts, and about `paths`, the device paths an
 * administrator named. What can't be read is left out. Layout: /sys/dev/block/MAJOR:MINOR leads to
 * a device's folder with dev, slaves/, loop/backing_file, and `partition` in that of a partition,
 * which lies in its disk's; /sys/fs/btrfs/UUID/devices/ leads to those of one file system.
 */
export function readBlockFacts(
  mountinfo: string,
  paths: readonly string[],
  sysfs = '/sys',
): BlockFacts {
  const devices = new Map<string, BlockDevice>();
  const numbersOfPath = new Map<string, readonly string[]>();
  const add = (number: string): void => {
    if (devices.has(number)) return;
    const device = readDevice(path.join(sysfs, 'dev/block', number));
    if (device === undefined) return;
    devices.set(number, device);
    for (const below of device.below) add(below);
  };
  const { mounts } = parseMountinfo(mountinfo);
  for (const { deviceNumber } of mounts) {
    if (!deviceNumber.startsWith('0:')) add(deviceNumber);
  }
  const named = paths.filter((item) => item.startsWith('/dev/'));
  const together = btrfsDevices(sysfs);
  for (const { fileSystem, source } of mounts) {
    if (!['btrfs', 'bcachefs'].includes(fileSystem) || numbersOfPath.has(source)) continue;
    // bcachefs names all of its devices, with colons between them
    const own = source.split(':').flatMap((name) => numberOf(name) ?? []);
    const all = together.find((group) => group.some((number) => own.includes(number))) ?? own;
    numbersOfPath.set(source, all);
    for (const number of all) add(number);
  }
  for (const name of named) {
    const number = numberOf(name);
    if (number !== undefined && !numbersOfPath.has(name)) numbersOfPath.set(name, [number]);
  }
  return { devices, numbersOfPath };
}

function readDevice(link: string): BlockDevice | undefined {
  let folder: string;
  try {
    folder = fs.realpathSync(link);
  } catch {
    return undefined;
  }
  const below = listFolder(path.join(folder, 'slaves')).flatMap((name) =>
    devOf(path.join(folder, 'slaves', name)),
  );
  if (fs.existsSync(path.join(folder, 'partition'))) below.push(...devOf(path.dirname(folder)));
  // The name ends with a newline of sysfs's own
  const backingFile = readText(path.join(folder, 'loop/backing_file'))?.replace(/\n$/, '');
  return { name: path.basename(folder), below, ...(backingFile ? { backingFile } : {}) };
}

function btrfsDevices(sysfs: string): string[][] {
  const folder = path.join(sysfs, 'fs/btrfs');
  return listFolder(folder).map((uuid) => {
    const devices = path.join(folder, uuid, 'devices');
    return listFolder(devices).flatMap((name) => devOf(path.join(devices, name)));
  });
}

function devOf(folder: string): string[] {
  const number = readText(path.join(folder, 'dev'))?.trim();
  return number !== undefined && /^\d+:\d+$/.test(number) ? [number] : [];
}

/** "major:minor" of a block device. */
function numberOf(file: string): string | undefined {
  try {
    const stat = fs.statSync(file, { bigint: true });
    if (!stat.isBlockDevice()) return undefined;
    // As the C library takes them apart: gnu_dev_major, gnu_dev_minor
    const device = stat.rdev;
    const major = ((device >> 8n) & 0xfffn) | ((device >> 32n) & ~0xfffn);
    const minor = (device & 0xffn) | ((device >> 12n) & ~0xffn);
    return `${major}:${minor & 0xffff_ffffn}`;
  } catch {
    return undefined;
  }
}
