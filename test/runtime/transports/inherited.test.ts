import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { identify, listenFds } from '../../../runtime/transports/inherited.ts';
import { OpenError, type Transport } from '../../../runtime/transports/transport.ts';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'vmic-inherited-'));
after(() => fs.rmSync(folder, { recursive: true }));

describe('descriptors handed over', () => {
  it('are those from 3 on that are meant for this process', () => {
    const env = { LISTEN_PID: '77', LISTEN_FDS: '2', LISTEN_FDNAMES: 'a:b', PATH: '/bin' };
    assert.deepEqual(listenFds(env, 77), [3, 4]);
    assert.deepEqual(env, { PATH: '/bin' });
  });

  it('are none otherwise, and the variables are gone for children', () => {
    for (const env of [
      {},
      { LISTEN_FDS: '1' },
      { LISTEN_PID: '78', LISTEN_FDS: '1' },
      { LISTEN_PID: '77' },
      ...['0', '-1', 'x', '1x', '', '99999'].map((count) => ({
        LISTEN_PID: '77',
        LISTEN_FDS: count,
      })),
    ]) {
      assert.deepEqual(listenFds(env, 77), []);
      assert.deepEqual(env, {});
    }
  });
});

describe('a descriptor handed over', () => {
  const classId = '34d14be3-dee4-41c8-9ae7-6b174977c192';
  const chardev: Transport = { kind: 'chardev', path: '/dev/vmbus/hv_fcopy' };
  // 1:3 and 1:7 everywhere (Documentation/admin-guide/devices.txt)
  const open = (file: string): number => fs.openSync(file, 'r+');
  const sysfs = (device: string, uevent: string, foundClass?: string): string => {
    const root = fs.mkdtempSync(path.join(folder, 'sys-'));
    const at = path.join(root, 'dev/char', device);
    fs.mkdirSync(path.join(at, 'device'), { recursive: true });
    fs.writeFileSync(path.join(at, 'uevent'), uevent);
    if (foundClass !== undefined)
      fs.writeFileSync(path.join(at, 'device/class_id'), `${foundClass}\n`);
    return root;
  };
  const refused = (
    fds: readonly number[],
    configured: Transport,
    root: string,
    pattern: RegExp,
  ): void =>
    assert.throws(
      () => identify(fds, configured, classId, root),
      (error) => error instanceof OpenError && !error.waitable && pattern.test(error.message),
    );

  it("is the service's char device", () => {
    const fd = open('/dev/null');
    const root = sysfs('1:3', 'MAJOR=1\nMINOR=3\nDEVNAME=vmbus/hv_fcopy\n');
    assert.deepEqual(identify([fd], chardev, classId, root), {
      fd,
      memoryFd: fd,
      transport: chardev,
    });
    const other = sysfs('1:3', 'DEVNAME=vmbus/hv_vss\n');
    refused([fd], chardev, other, /is \/dev\/vmbus\/hv_vss: check ListenSpecial=/);
    refused([fd], chardev, folder, /is \/dev\/1:3/);
    refused([fd], { kind: 'uio', classId }, root, /is \/dev\/vmbus\/hv_fcopy/);
    fs.closeSync(fd);
  });

  it('or the UIO device of its class, which needs no other configuration', () => {
    const fd = open('/dev/full');
    const root = sysfs('1:7', 'DEVNAME=uio3\n', `{${classId.toUpperCase()}}`);
    const expected = { fd, memoryFd: fd, transport: { kind: 'uio', classId } };
    assert.deepEqual(identify([fd], chardev, classId, root), expected);
    assert.deepEqual(identify([fd], { kind: 'uio', classId }, 'x', root), expected);
    refused(
      [fd],
      chardev,
      sysfs('1:7', 'DEVNAME=uio3\n', '{35fa2e29}'),
      /is \/dev\/uio3, of the class \{35fa2e29\}/,
    );
    refused([fd], chardev, sysfs('1:7', 'DEVNAME=uio3\n'), /is \/dev\/uio3, of the class unknown/);
    fs.closeSync(fd);
  });

  it('and nothing else', () => {
    const file = path.join(folder, 'file');
    fs.writeFileSync(file, '');
    const fd = open(file);
    refused([fd], chardev, folder, /is no device/);
    refused([fd, fd + 1], chardev, folder, /is one of 2, expected 1/);
    refused([fd], { kind: 'unix-ring', path: '/x' }, folder, /is one of 1/);
    fs.closeSync(fd);
    refused([fd], chardev, folder, /can't be used \(EBADF/);
  });
});
