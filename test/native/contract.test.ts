/** The contract in memory keeps what the addon keeps: the same tests run on both. */
import assert from 'node:assert/strict';
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { native } from '../../native/index.ts';
import type { MessageChannel, Native, NativeError, RingChannel } from '../../native/interface.ts';
import { MemoryNative } from '../../native/memory/index.ts';
import { Inbox, temporaryFolder, turns } from './pairs.ts';

const code = (expected: string) => (error: NativeError) => error.code === expected;

async function pair(t: TestContext, on: Native): Promise<[MessageChannel, MessageChannel]> {
  const path = join(temporaryFolder(t), 'socket');
  const listener = on.listen(path);
  const accepted = new Promise<number>((resolve, reject) => listener.start(resolve, reject));
  const client = on.connectMessageSocket(path);
  const server = on.adoptMessageChannel(await accepted);
  listener.close();
  t.after(() => {
    client.close();
    server.close();
  });
  return [client, server];
}

const both: [name: string, make: () => Native][] = [
  ['the addon', () => native],
  ['memory', () => new MemoryNative()],
];

for (const [name, make] of both) {
  describe(`the contract, kept by ${name}`, () => {
    it('messages arrive in order, on a later turn', async (t) => {
      const [client, server] = await pair(t, make());
      const inbox = new Inbox(server);
      const message = Uint8Array.of(1, 2);
      client.write(message);
      message.fill(0);
      client.write(Uint8Array.of(3));
      assert.equal(inbox.messages.length, 0);
      assert.deepEqual(await inbox.take(), Uint8Array.of(1, 2));
      assert.deepEqual(await inbox.take(), Uint8Array.of(3));
    });

    it('messages wait for start, and while paused', async (t) => {
      const [client, server] = await pair(t, make());
      client.write(Uint8Array.of(1));
      await turns();
      const inbox = new Inbox(server);
      assert.deepEqual(await inbox.take(), Uint8Array.of(1));
      server.pause();
      client.write(Uint8Array.of(2));
      await turns();
      assert.equal(inbox.messages.length, 0);
      server.resume();
      assert.deepEqual(await inbox.take(), Uint8Array.of(2));
    });

    it('what was sent before a close arrives before the end', async (t) => {
      const [client, server] = await pair(t, make());
      client.write(Uint8Array.of(1));
      client.close();
      client.close();
      const inbox = new Inbox(server);
      assert.deepEqual(await inbox.take(), Uint8Array.of(1));
      assert.deepEqual(await inbox.ended(), { reason: 'gone' });
      assert.throws(() => server.write(Uint8Array.of(1)), code('EPIPE'));
      assert.throws(() => client.write(Uint8Array.of(1)), code('EBADF'));
    });

    it('a message longer than the buffer ends the channel', async (t) => {
      const [client, server] = await pair(t, make());
      const inbox = new Inbox(server, 2);
      client.write(Uint8Array.of(1, 2, 3));
      const end = await inbox.ended();
      assert.ok(end.reason === 'error');
      assert.equal(end.error.code, 'EMSGSIZE');
    });

    it('nothing is called after a close in a callback', async (t) => {
      const [client, server] = await pair(t, make());
      let calls = 0;
      server.start(
        new Uint8Array(8),
        () => {
          calls += 1;
          server.close();
        },
        () => assert.fail('ended'),
      );
      client.write(Uint8Array.of(1));
      client.write(Uint8Array.of(2));
      await turns(20);
      assert.equal(calls, 1);
    });

    it('a channel starts once', async (t) => {
      const [, server] = await pair(t, make());
      new Inbox(server);
      assert.throws(() => new Inbox(server), code('EALREADY'));
    });

    it('a mark stays with the open channel', async (t) => {
      const of = make();
      const [client, server] = await pair(t, of);
      assert.equal(of.isMarked(client.fd), false);
      of.mark(client.fd);
      of.mark(client.fd);
      assert.deepEqual([of.isMarked(client.fd), of.isMarked(server.fd)], [true, false]);
      client.write(Uint8Array.of(1));
      assert.deepEqual(await new Inbox(server).take(), Uint8Array.of(1));
    });

    it('opening what is not there fails with ENOENT', () => {
      const on = make();
      assert.throws(() => on.openMessageDevice('/absent/device'), code('ENOENT'));
      assert.throws(() => on.openUio('/absent/uio', 16_384), code('ENOENT'));
      assert.throws(() => on.connectMessageSocket('/absent/socket'), code('ENOENT'));
      assert.throws(() => on.connectRingSocket('/absent/socket'), code('ENOENT'));
    });

    it('locks exclude between descriptors', (t) => {
      const on = make();
      const path = join(temporaryFolder(t), 'pool');
      writeFileSync(path, 'x');
      const [first, second] = [openSync(path, 'r+'), openSync(path, 'r+')];
      t.after(() => {
        closeSync(first);
        closeSync(second);
      });
      assert.equal(on.tryLock(first, 'shared'), true);
      assert.equal(on.tryLock(second, 'shared'), true);
      assert.equal(on.tryLock(first, 'exclusive'), false);
      on.unlock(second);
      assert.equal(on.tryLock(first, 'exclusive'), true);
      assert.equal(on.tryLock(second, 'shared'), false);
    });

    it('files are changed for real', (t) => {
      const on = make();
      const path = join(temporaryFolder(t), 'pool');
      writeFileSync(path, 'abcdef');
      const fd = openSync(path, 'r+');
      t.after(() => closeSync(fd));
      assert.equal(on.writeWhole(fd, Buffer.from('XY'), 1), 2);
      on.removeRange(fd, 0, 1, 6);
      assert.equal(readFileSync(path, 'latin1'), 'XYdef');
      assert.throws(() => on.removeRange(fd, 0, 1, 6), code('ESTALE'));
      assert.throws(() => on.removeRange(fd, 4, 2, 5), code('EINVAL'));
      const slots = new BigInt64Array(8);
      assert.equal(on.stat(path, slots), true);
      assert.equal(slots[2], 5n);
      assert.equal(on.stat(`${path}-absent`, slots), false);
    });
  });
}

describe('the contract in memory', () => {
  it('plays a char device: busy, refused writes, gone, and open again', async () => {
    const memory = new MemoryNative();
    const kernels: MessageChannel[] = [];
    memory.addMessageDevice('/dev/x', (kernel) => kernels.push(kernel));
    const device = memory.openMessageDevice('/dev/x');
    assert.throws(() => memory.openMessageDevice('/dev/x'), code('EBUSY'));
    const [kernel] = kernels as [MessageChannel];
    memory.refuseNextWrite(kernel, 'EINVAL');
    assert.throws(() => device.write(Uint8Array.of(1)), code('EINVAL'));
    const atKernel = new Inbox(kernel);
    device.write(Uint8Array.of(2));
    assert.deepEqual(await atKernel.take(), Uint8Array.of(2));
    const atDevice = new Inbox(device);
    kernel.close();
    assert.deepEqual(await atDevice.ended(), { reason: 'gone' });
    device.close();
    memory.openMessageDevice('/dev/x').close();
    memory.removeDevice('/dev/x');
    assert.throws(() => memory.openMessageDevice('/dev/x'), code('ENOENT'));
  });

  /** A guest over UIO and its host, with what each got. */
  function rings(): { memory: MemoryNative; guest: RingChannel; host: RingChannel } {
    const memory = new MemoryNative();
    let host: RingChannel | undefined;
    memory.addUio('/dev/uio0', (made) => {
      host = made;
    });
    const guest = memory.openUio('/dev/uio0', 16_384);
    assert.ok(host);
    return { memory, guest, host };
  }

  function collect(channel: RingChannel): { ids: bigint[]; ends: unknown[] } {
    const got = { ids: [] as bigint[], ends: [] as unknown[] };
    channel.start(
      new Uint8Array(4096),
      (_type, _flags, transactionId) => got.ids.push(transactionId),
      (end) =>
        got.ends.push(end.reason === 'gone' ? 'gone' : `${end.error.code} ${end.error.syscall}`),
    );
    return got;
  }

  it('plays rings: full, queued, drained', async () => {
    const { guest, host } = rings();
    assert.equal(guest.ringDataBytes, 4096);
    const atOnce = [0n, 1n, 2n, 3n, 4n].map((id) => guest.write(6, 0, id, new Uint8Array(1000)));
    assert.deepEqual(atOnce, [true, true, true, false, false]);
    assert.throws(() => guest.write(6, 0, 0n, new Uint8Array(4096)), code('ERING'));
    const atGuest = collect(guest);
    host.write(6, 0, 9n, new Uint8Array(8));
    await turns(10);
    assert.deepEqual(atGuest.ids, [], 'does not read while it waits for space');
    const atHost = collect(host);
    await turns(10);
    assert.deepEqual(atHost.ids, [0n, 1n, 2n, 3n, 4n]);
    assert.deepEqual(atGuest.ids, [9n]);
    assert.equal(guest.statistics().queued, 2);
  });

  it('plays a broken ring, and a rescind', async () => {
    const { memory, guest, host } = rings();
    const atGuest = collect(guest);
    memory.breakRing(host, 'write index is not valid');
    await turns(10);
    assert.deepEqual(atGuest.ends, ['ERING write index is not valid']);

    const other = rings();
    const atOther = collect(other.guest);
    other.host.close();
    await turns(10);
    assert.deepEqual(atOther.ends, ['gone']);
  });

  it('plays a simulated host that accepts inside connectRingSocket', async () => {
    const memory = new MemoryNative();
    const listener = memory.listen('/run/ring');
    let host: RingChannel | undefined;
    listener.start(
      (fd) => {
        host = memory.hostRing(fd, 8192);
      },
      () => {},
    );
    const guest = memory.connectRingSocket('/run/ring');
    const atGuest = collect(guest);
    host?.write(6, 0, 5n, new Uint8Array(8));
    await turns(10);
    assert.deepEqual(atGuest.ids, [5n]);
  });

  it('scripts locks of others, watches and notifications', async (t) => {
    const memory = new MemoryNative();
    const path = join(temporaryFolder(t), 'pool');
    writeFileSync(path, 'x');
    const fd = openSync(path, 'r+');
    t.after(() => closeSync(fd));
    const unlock = memory.lockByOther(path, 'shared');
    assert.equal(memory.tryLock(fd, 'exclusive'), false);
    assert.equal(memory.lockOf(fd), undefined);
    unlock();
    assert.equal(memory.tryLock(fd, 'exclusive'), true);
    assert.equal(memory.lockOf(fd), 'exclusive');

    let readable = 0;
    const watch = memory.watchDirectory('/pools', () => {
      readable += 1;
    });
    memory.directoryChanged('/pools', { name: 'a', mask: 8 });
    memory.directoryChanged('/elsewhere', { name: 'b', mask: 8 });
    await turns();
    assert.equal(readable, 1);
    assert.deepEqual(watch.drain(), [{ name: 'a', mask: 8 }]);
    assert.equal(watch.drain(), undefined);

    const addresses = memory.watchAddresses();
    assert.equal(addresses.changed(), false);
    memory.addressesChanged();
    assert.equal(addresses.changed(), true);
    assert.equal(addresses.changed(), false);

    assert.equal(memory.notify('/run/notify', 'READY=1'), true);
    memory.notifyHeard = false;
    assert.equal(memory.notify('/run/notify', 'STOPPING=1'), false);
    assert.deepEqual(
      memory.notifications.map((each) => each.message),
      ['READY=1', 'STOPPING=1'],
    );
  });
});
