import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { readBlockFacts } from '../../../../daemons/vss/freeze/block-devices.ts';

const sysfs = fs.mkdtempSync(path.join(os.tmpdir(), 'vmic-sysfs-'));
after(() => fs.rmSync(sysfs, { recursive: true, force: true }));

/** A device's folder as sysfs has it, and the link to it by number. */
function device(
  folder: string,
  number: string,
  files: Record<string, string> = {},
  slaves: readonly string[] = [],
): string {
  const full = path.join(sysfs, 'devices', folder);
  fs.mkdirSync(path.join(full, 'slaves'), { recursive: true });
  for (const [name, content] of Object.entries({ dev: `${number}\n`, ...files })) {
    fs.mkdirSync(path.dirname(path.join(full, name)), { recursive: true });
    fs.writeFileSync(path.join(full, name), content);
  }
  for (const slave of slaves)
    fs.symlinkSync(slave, path.join(full, 'slaves', path.basename(slave)));
  fs.mkdirSync(path.join(sysfs, 'dev/block'), { recursive: true });
  fs.symlinkSync(full, path.join(sysfs, 'dev/block', number));
  return full;
}

const sda = device('pci/sda', '8:0');
device('pci/sda/sda1', '8:1', { partition: '1\n' });
const sdb = device('pci/sdb', '8:16');
device('virtual/dm-0', '253:0', {}, [sda, sdb]);
const loop = device('virtual/loop0', '7:0', { 'loop/backing_file': '/srv/a file\n' });
device('virtual/loop0/loop0p1', '259:7', { partition: '1\n' });
device('virtual/loop1', '7:1', { 'loop/backing_file': '/srv/line\nfeed\n' });

describe('what sysfs says of block devices', () => {
  it(
    'is followed from partitions to disks, from mapped devices to what they are made of, to ' +
      'the files of loop devices',
    () => {
      const mountinfo = ['8:1', '253:0', '259:7', '7:1', '9:9', '0:40'].map(
        (n, i) => `${i} 99 ${n} / /m${i} rw - ext4 x rw`,
      );
      const { devices } = readBlockFacts(mountinfo.join('\n'), [], sysfs);
      assert.deepEqual(Object.fromEntries(devices), {
        '8:1': { name: 'sda1', below: ['8:0'] },
        '8:0': { name: 'sda', below: [] },
        '253:0': { name: 'dm-0', below: ['8:0', '8:16'] },
        '8:16': { name: 'sdb', below: [] },
        '259:7': { name: 'loop0p1', below: ['7:0'] },
        '7:0': { name: 'loop0', below: [], backingFile: '/srv/a file' },
        '7:1': { name: 'loop1', below: [], backingFile: '/srv/line\nfeed' },
      });
    },
  );

  it('is nothing where there is no sysfs', () => {
    const facts = readBlockFacts(
      '1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 0:9 / /b rw - btrfs /dev/nothing rw',
      ['/dev/null', '/dev/nothing', 'ext4'],
      '/nonexistent',
    );
    assert.deepEqual(facts, { devices: new Map(), numbersOfPath: new Map([['/dev/nothing', []]]) });
  });

  const block = fs.statSync('/dev/loop7', { throwIfNoEntry: false })?.isBlockDevice() === true;
  it('knows the devices of a btrfs that spans several', {
    skip: !block && 'there is no /dev/loop7',
  }, () => {
    const folder = path.join(sysfs, 'fs/btrfs/0b0b/devices');
    fs.mkdirSync(path.join(folder, 'loop7'), { recursive: true });
    fs.writeFileSync(path.join(folder, 'loop7/dev'), '7:7\n');
    fs.symlinkSync(loop, path.join(folder, 'loop0'));
    const mountinfo = '1 0 0:9 / / rw - btrfs /dev/loop7 rw';
    const { devices, numbersOfPath } = readBlockFacts(mountinfo, ['/dev/loop7'], sysfs);
    assert.deepEqual(numbersOfPath.get('/dev/loop7'), ['7:0', '7:7']);
    assert.ok(devices.has('7:0'));
  });
});
