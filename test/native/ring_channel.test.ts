import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { native } from '../../native/index.ts';
import type { NativeError, RingChannel } from '../../native/interface.ts';
import { temporaryFolder, turns } from './pairs.ts';
import {
  connect,
  DATA_BYTES,
  filled,
  type Host,
  IN,
  OUT,
  RING_BYTES,
  uioMissing,
} from './ring_peer.ts';

for (const kind of ['socket', 'uio'] as const) {
  describe(`ring channel over ${kind === 'uio' ? 'a preloaded UIO device' : 'a socket'}`, {
    skip: kind === 'uio' && uioMissing !== undefined ? uioMissing : false,
  }, () => {
    it('carries packets both ways with type, flags and transaction id', async (t) => {
      const [host, guest] = await connect(t, kind);
      host.start();
      assert.equal(host.channel.write(6, 1, 0xfedc_ba98_7654_3210n, filled(16, 5)), true);
      assert.deepEqual(await guest.next('packet'), {
        event: 'packet',
        type: 6,
        flags: 1,
        transactionId: 0xfedc_ba98_7654_3210n,
        payload: filled(16, 5),
      });
      guest.tell({ command: 'write', transactionId: 7n, payload: filled(24, 9) });
      assert.deepEqual(await guest.next('written'), { event: 'written', atOnce: true });
      await host.until(() => host.packets.length === 1);
      assert.deepEqual(host.packets, [
        { type: 6, flags: 0, transactionId: 7n, payload: filled(24, 9) },
      ]);
      const { packetsRead, packetsWritten, signalsSent, queued } = await guest.statistics();
      assert.deepEqual(
        { packetsRead, packetsWritten, signalsSent, queued },
        { packetsRead: 1, packetsWritten: 1, signalsSent: 1, queued: 0 },
      );
    });

    it('takes what lay in the ring before it was opened', async (t) => {
      const [, guest] = await connect(t, kind, {
        prepare: (host) => {
          host.channel.write(6, 0, 1n, filled(8, 1));
          host.channel.write(6, 0, 2n, filled(8, 2));
        },
      });
      assert.equal((await guest.next('packet')).transactionId, 1n);
      assert.equal((await guest.next('packet')).transactionId, 2n);
    });

    it('leaves the inbound ring unmasked when it sleeps, so that nothing is lost', async (t) => {
      const [host, guest] = await connect(t, kind);
      for (let round = 0n; round < 50n; round += 1n) {
        host.channel.write(6, 0, round, filled(8, 1));
        assert.equal((await guest.next('packet')).transactionId, round);
      }
      await guest.statistics();
      assert.equal(host.get(IN.mask), 0);
    });

    it('leaves only when nothing waits, and with the host free to signal', async (t) => {
      const [host, guest] = await connect(t, kind);
      host.start();
      host.channel.write(6, 0, 1n, filled(8, 1));
      await guest.next('packet');
      guest.tell({ command: 'pause' });
      guest.tell({ command: 'leave' });
      assert.deepEqual(await guest.next('left'), { event: 'left', left: false });
      host.channel.write(6, 0, 2n, filled(8, 1));
      guest.tell({ command: 'resume' });
      assert.equal((await guest.next('packet')).transactionId, 2n);
      guest.tell({ command: 'leave' });
      assert.deepEqual(await guest.next('left'), { event: 'left', left: true });
      assert.equal(host.get(IN.mask), 0);
      const { signalsSent } = host.channel.statistics();
      host.channel.write(6, 0, 3n, filled(8, 1));
      assert.equal(host.channel.statistics().signalsSent, signalsSent + 1);
      assert.equal((await guest.statistics()).packetsRead, 2);
      guest.tell({ command: 'leave' });
      assert.deepEqual(await guest.next('left'), { event: 'left', left: false });
    });

    it('stays masked while it drains, also after signalling the host', async (t) => {
      const hold = join(temporaryFolder(t), 'hold');
      writeFileSync(hold, '');
      const [host, guest] = await connect(t, kind, { mode: 'echo', hold });
      host.start();
      host.channel.write(6, 0, 1n, filled(8, 1));
      // The guest has answered, which signalled us (and makes the driver of UIO unmask), and is
      // still in its callback.
      await guest.next('written');
      await host.until(() => host.packets.length === 1);
      assert.equal(host.get(IN.mask), 1);
      rmSync(hold);
      await guest.statistics();
      assert.equal(host.get(IN.mask), 0);
    });

    it('echoes 20,000 packets of all sizes in order through small rings', async (t) => {
      const [host, guest] = await connect(t, kind, { mode: 'echo' });
      const total = 20_000;
      const sizes = Array.from({ length: 101 }, (_, at) => (at * 37) % 1500);
      let sent = 0;
      let received = 0;
      const send = (): void => {
        while (sent < total) {
          const payload = filled(sizes[sent % sizes.length] ?? 0, sent % 251);
          sent += 1;
          if (!host.channel.write(6, 0, BigInt(sent - 1), payload)) return;
        }
      };
      host.start((packet) => {
        const size = sizes[received % sizes.length] ?? 0;
        assert.equal(packet.transactionId, BigInt(received));
        assert.equal(packet.payload.length, Math.ceil(size / 8) * 8);
        assert.ok(packet.payload.subarray(0, size).every((byte) => byte === received % 251));
        received += 1;
        send();
      });
      send();
      await host.until(() => received === total || host.end !== undefined);
      assert.equal(received, total);
      const { packetsRead, packetsWritten, signalsSent } = await guest.statistics();
      assert.equal(packetsRead, total);
      assert.equal(packetsWritten, total);
      assert.ok(signalsSent < total, `${signalsSent} signals`);
    });

    it(
      'queues when the ring is full, pauses reading, and goes on when there is ' + 'room',
      async (t) => {
        const [host, guest] = await connect(t, kind);
        // The host reads nothing yet: 4 of 1,024 bytes never fit, so 3 do.
        for (let value = 0; value < 6; value += 1) {
          guest.tell({
            command: 'write',
            transactionId: BigInt(value),
            payload: filled(1000, value),
          });
          assert.equal((await guest.next('written')).atOnce, value < 3);
        }
        await guest.statistics();
        assert.equal(host.get(OUT.pending), 1024);
        // Not read while the queue waits.
        host.channel.write(6, 0, 99n, filled(8, 1));
        assert.equal((await guest.statistics()).packetsRead, 0);

        host.start();
        await host.until(() => host.packets.length === 6);
        assert.deepEqual(
          host.packets.map((packet) => packet.transactionId),
          [0n, 1n, 2n, 3n, 4n, 5n],
        );
        assert.deepEqual(host.packets[5]?.payload, filled(1000, 5));
        assert.equal((await guest.next('packet')).transactionId, 99n);
        assert.equal(host.get(OUT.pending), 0);
        assert.equal((await guest.statistics()).queued, 3);
      },
    );

    it('refuses what can never fit, and a 65th waiting packet', async (t) => {
      const [, guest] = await connect(t, kind);
      guest.tell({ command: 'write', transactionId: 0n, payload: new Uint8Array(DATA_BYTES - 24) });
      assert.deepEqual(await guest.next('threw'), {
        event: 'threw',
        code: 'ERING',
        syscall: 'packet can never fit the ring',
      });
      guest.tell({ command: 'write', transactionId: 0n, payload: new Uint8Array(DATA_BYTES - 32) });
      assert.equal((await guest.next('written')).atOnce, true);
      for (let count = 0; count < 64; count += 1) {
        guest.tell({ command: 'write', transactionId: 0n, payload: new Uint8Array(8) });
        assert.equal((await guest.next('written')).atOnce, false);
      }
      guest.tell({ command: 'write', transactionId: 0n, payload: new Uint8Array(8) });
      assert.deepEqual(await guest.next('threw'), {
        event: 'threw',
        code: 'ENOBUFS',
        syscall: 'write',
      });
      guest.tell({ command: 'write', transactionId: 0n, payload: new Uint8Array(DATA_BYTES) });
      const threw = await guest.next('threw');
      assert.equal(threw.code, 'ERING');
    });

    it('pauses and resumes without losing a packet, masked meanwhile', async (t) => {
      const [host, guest] = await connect(t, kind);
      await guest.statistics();
      guest.tell({ command: 'pause' });
      await guest.statistics();
      assert.equal(host.get(IN.mask), 1);
      const before: number = (await guest.statistics()).wakes;
      for (let value = 0n; value < 3n; value += 1n) host.channel.write(6, 0, value, filled(8, 1));
      assert.equal((await guest.statistics()).wakes, before);
      guest.tell({ command: 'resume' });
      for (let value = 0n; value < 3n; value += 1n)
        assert.equal((await guest.next('packet')).transactionId, value);
    });

    it('flushes its queue also while it is paused', async (t) => {
      const [host, guest] = await connect(t, kind);
      guest.tell({ command: 'pause' });
      for (let value = 0; value < 5; value += 1) {
        guest.tell({
          command: 'write',
          transactionId: BigInt(value),
          payload: filled(1000, value),
        });
        await guest.next('written');
      }
      host.start();
      await host.until(() => host.packets.length === 5);
      assert.equal((await guest.statistics()).packetsRead, 0);
    });

    it('ends as gone when the host goes', async (t) => {
      const [host, guest] = await connect(t, kind);
      host.channel.close();
      assert.deepEqual(await guest.next('end'), { event: 'end', reason: 'gone' });
    });

    const broken: [name: string, check: string, damage: (host: Host) => void][] = [
      [
        'write index outside',
        'write index is not valid',
        (host) => host.set(IN.writeIndex, DATA_BYTES + 8),
      ],
      ['write index unaligned', 'write index is not valid', (host) => host.set(IN.writeIndex, 33)],
      [
        'length 0',
        'packet data begins beyond the packet',
        (host) => {
          host.set(IN.data, 0x0002_0006);
          host.set(IN.data + 4, 0);
          host.set(IN.writeIndex, 32);
        },
      ],
      [
        'length beyond what was written',
        'packet is longer than what was written',
        (host) => {
          host.set(IN.data, 0x0002_0006);
          host.set(IN.data + 4, 100);
          host.set(IN.writeIndex, 32);
        },
      ],
    ];
    for (const [name, check, damage] of broken) {
      it(`ends with ERING: ${name}`, async (t) => {
        const [host, guest] = await connect(t, kind);
        damage(host);
        // Makes it look; nobody signals a damaged ring.
        guest.tell({ command: 'pause' });
        guest.tell({ command: 'resume' });
        assert.deepEqual(await guest.next('end'), {
          event: 'end',
          reason: 'error',
          code: 'ERING',
          syscall: check,
        });
      });
    }

    it('ends with ERING when a packet is longer than the receive buffer', async (t) => {
      const [host, guest] = await connect(t, kind, { bufferBytes: 16 });
      host.channel.write(6, 0, 1n, filled(16, 1));
      assert.equal((await guest.next('packet')).transactionId, 1n);
      host.channel.write(6, 0, 2n, filled(17, 1));
      assert.deepEqual(await guest.next('end'), {
        event: 'end',
        reason: 'error',
        code: 'ERING',
        syscall: 'packet is longer than the receive buffer',
      });
    });
  });
}

it(
  'a host that is itself waiting for room keeps reading, so that both can not wait for each ' +
    'other',
  async (t) => {
    const [host] = await connect(t, 'socket', { mode: 'echo' });
    let received = 0;
    // Both rings and both queues fill up: 6 wait here and the echo has no room.
    for (let value = 0; value < 40; value += 1)
      host.channel.write(6, 0, BigInt(value), filled(1000, value));
    host.start(() => {
      received += 1;
    });
    await host.until(() => received === 40 || host.end !== undefined);
    assert.equal(received, 40);
  },
);

it('takes at most 64 packets before the event loop gets a turn', async (t) => {
  const [host, guest] = await connect(t, 'socket');
  for (let value = 0; value < 100; value += 1) {
    guest.tell({ command: 'write', transactionId: BigInt(value), payload: new Uint8Array(8) });
    await guest.next('written');
  }
  const batches: number[] = [];
  let batch = 0;
  let checking = true;
  const check = (): void => {
    if (batch > 0) batches.push(batch);
    batch = 0;
    if (checking) setImmediate(check);
  };
  setImmediate(check);
  let received = 0;
  host.start(() => {
    batch += 1;
    received += 1;
  });
  await host.until(() => received === 100);
  await turns();
  checking = false;
  assert.deepEqual(batches, [64, 36]);
});

it('the host is told that a guest has gone', async (t) => {
  const [host, guest] = await connect(t, 'socket');
  host.start();
  guest.tell({ command: 'exit' });
  await host.until(() => host.end !== undefined);
  assert.deepEqual(host.end, { reason: 'gone' });
});

it('close in a packet callback is the last thing that happens', async (t) => {
  const [host, guest] = await connect(t, 'socket');
  for (let value = 0; value < 10; value += 1) {
    guest.tell({ command: 'write', transactionId: BigInt(value), payload: new Uint8Array(8) });
    await guest.next('written');
  }
  let calls = 0;
  host.start(() => {
    calls += 1;
    host.channel.close();
    host.channel.close();
  });
  await host.until(() => calls > 0);
  await turns(20);
  assert.equal(calls, 1);
  assert.equal(host.end, undefined);
  assert.throws(
    () => host.channel.write(6, 0, 0n, new Uint8Array(8)),
    (error: NativeError) => error.code === 'EBADF',
  );
});

it('the memory of a closed channel stays readable', async (t) => {
  const [host] = await connect(t, 'socket');
  const memory = native.ringMemory(host.channel);
  assert.equal(memory.length, 2 * RING_BYTES);
  assert.equal(native.ringMemory(host.channel), memory);
  host.channel.close();
  assert.equal(memory[64], 1);
  assert.throws(
    () => native.ringMemory(host.channel),
    (error: NativeError) => error.code === 'EBADF',
  );
  assert.throws(() => native.ringMemory({} as RingChannel), TypeError);
});
