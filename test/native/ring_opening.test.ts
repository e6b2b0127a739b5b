import assert from 'node:assert/strict';
import { closeSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { native } from '../../native/index.ts';
import type { NativeError } from '../../native/interface.ts';
import { messagePair, temporaryFolder } from './pairs.ts';
import { Guest, RING_BYTES } from './ring_peer.ts';

describe('opening', () => {
  const code = (expected: string) => (error: NativeError) => error.code === expected;

  it('refuses map sizes that can not hold two rings', (t) => {
    const path = join(temporaryFolder(t), 'file');
    writeFileSync(path, new Uint8Array(65_536));
    for (const bytes of [0, 8192, 12_288, 16_383, 20_480, -16_384, Number.NaN, 2 ** 40]) {
      assert.throws(() => native.openUio(path, bytes), code('EINVAL'), String(bytes));
    }
    assert.throws(() => native.openUio(`${path}-absent`, 16_384), code('ENOENT'));
  });

  it('refuses ring sizes that are no rings, and descriptors that are none', async (t) => {
    const [, server] = await messagePair(t);
    assert.throws(() => native.hostRing(1_000_000, RING_BYTES), code('EBADF'));
    for (const bytes of [0, 4096, 8193]) {
      const fd = openSync('/dev/null', 'r');
      // Taken over also when it fails.
      assert.throws(() => native.hostRing(fd, bytes), code('EINVAL'), String(bytes));
      assert.throws(() => closeSync(fd), code('EBADF'));
    }
    assert.ok(server.fd >= 0);
  });

  it('refuses a peer that sends something else than ring memory', async (t) => {
    const path = join(temporaryFolder(t), 'socket');
    const listener = native.listen(path);
    t.after(() => listener.close());
    const accepted = new Promise<number>((resolve, reject) => listener.start(resolve, reject));
    const guest = new Guest(t, ['socket', path, '0', 'report', '64'], {});
    const server = native.adoptMessageChannel(await accepted);
    server.write(new Uint8Array([0x56, 0x52, 0x4e, 0x47, 0, 0x40, 0, 0]));
    assert.deepEqual(await guest.next('failed'), {
      event: 'failed',
      code: 'EPROTO',
      syscall: 'recvmsg',
    });
    server.close();
  });
});
