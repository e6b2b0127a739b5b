import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import type { Native } from '../../../native/interface.ts';
import {
  findUio,
  formatTransport,
  OpenError,
  openTransport,
  parseTransport,
  settleTransport,
} from '../../../runtime/transports/transport.ts';

const KVP = 'a9a0f4e7-5a45-4d96-b827-8a841e8c03e6';

describe('transport text', () => {
  it('is parsed and printed', () => {
    for (const spec of [
      'chardev:/dev/vmbus/hv_kvp',
      'unix:/run/x',
      'unix-ring:/run/x:y',
      `uio:${KVP}`,
      'auto:/dev/vmbus/hv_kvp',
    ]) {
      const transport = parseTransport(spec, KVP);
      assert.notEqual(typeof transport, 'string');
      assert.equal(formatTransport(transport as Exclude<typeof transport, string>), spec);
    }
    assert.deepEqual(parseTransport('uio:', KVP), { kind: 'uio', classId: KVP });
    assert.deepEqual(parseTransport(`uio:{${KVP.toUpperCase()}}`, ''), {
      kind: 'uio',
      classId: KVP,
    });
  });

  it('says what was expected', () => {
    for (const [spec, expected] of [
      ['', /chardev:/],
      ['/dev/vmbus/hv_kvp', /chardev:/],
      ['chardev:hv_kvp', /an absolute path after "chardev:"/],
      ['unix:', /an absolute path/],
      ['auto:', /an absolute path after "auto:"/],
      ['uio:5', /a class GUID/],
      ['tcp:/x', /chardev:/],
    ] as const) {
      assert.match(parseTransport(spec, KVP) as string, expected, spec);
    }
  });
});

describe('a transport found by itself', () => {
  it('is the char device as long as there is one, and UIO otherwise', () => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'vmic-auto-'));
    const device = path.join(folder, 'hv_kvp');
    const auto = { kind: 'auto', path: device, classId: KVP } as const;
    assert.deepEqual(settleTransport(auto), { kind: 'uio', classId: KVP });
    fs.writeFileSync(device, '');
    assert.deepEqual(settleTransport(auto), { kind: 'chardev', path: device });
    fs.rmSync(folder, { recursive: true });
    assert.deepEqual(settleTransport({ kind: 'unix', path: '/x' }), { kind: 'unix', path: '/x' });
    const none = (): unknown => openTransport({} as Native, auto, folder);
    assert.throws(
      none,
      (error: OpenError) => error.waitable && /no VMBus channels/.test(error.message),
    );
  });
});

describe('UIO device of a class', () => {
  const sysfs = fs.mkdtempSync(path.join(os.tmpdir(), 'vmic-sysfs-'));
  after(() => fs.rmSync(sysfs, { recursive: true }));
  const device = (instance: string, classId: string) => {
    const folder = path.join(sysfs, 'bus/vmbus/devices', instance);
    fs.mkdirSync(folder, { recursive: true });
    fs.writeFileSync(path.join(folder, 'class_id'), `{${classId}}\n`);
    return folder;
  };
  const fails = (pattern: RegExp, unbound = false) =>
    assert.throws(
      () => findUio(KVP, sysfs),
      (error: OpenError) =>
        error instanceof OpenError &&
        error.waitable &&
        error.unbound === unbound &&
        pattern.test(error.message),
    );

  it('explains each way in which it can be missing, and is found by class, not by number', () => {
    fails(/no VMBus channels: this is no Hyper-V guest/);
    device('0-other', '57164f39-9115-4e78-ab55-382f3bd5422d');
    fails(/no VMBus channel of class a9a0f4e7/);
    const kvp = device('242ff919-07db-4180-9c2e-b86cb68c8c55', KVP);
    fails(/242ff919.* is bound to no driver, not to uio_hv_generic/, true);
    fs.mkdirSync(path.join(sysfs, 'bus/vmbus/drivers/hv_utils'), { recursive: true });
    fs.symlinkSync('../../drivers/hv_utils', path.join(kvp, 'driver'));
    fails(/is bound to hv_utils, not to uio_hv_generic/, true);
    fs.mkdirSync(path.join(kvp, 'uio/uio7/maps/map0'), { recursive: true });
    fails(/uio7\/maps\/map0\/size can't be read/);
    fs.writeFileSync(path.join(kvp, 'uio/uio7/maps/map0/size'), '0x0000000000400000\n');
    assert.deepEqual(findUio(KVP, sysfs), { path: '/dev/uio7', mapBytes: 4 << 20 });
  });
});

describe('opening a channel', () => {
  const failing = (code: string): Native =>
    ({
      openMessageDevice(): never {
        throw Object.assign(new Error(`${code}: open`), { code, errno: 1, syscall: 'open' });
      },
    }) as unknown as Native;
  const open = (code: string) =>
    openTransport(failing(code), { kind: 'chardev', path: '/dev/vmbus/hv_kvp' });

  it('tells what passes by itself from what does not', () => {
    for (const [code, waitable, pattern] of [
      ['ENOENT', true, /is not there: is this a Hyper-V guest/],
      ['EBUSY', true, /in use by another process: stop the other daemon/],
      ['EBADF', true, /EBADF/],
      ['EACCES', false, /permission denied: run as root/],
    ] as const) {
      assert.throws(
        () => open(code),
        (error: OpenError) =>
          error instanceof OpenError && error.waitable === waitable && pattern.test(error.message),
        code,
      );
    }
  });
});
