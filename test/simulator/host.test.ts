/**
 * The simulated host itself, against guests of a few lines: what it sends, and that it turns away
 * what no host accepts.
 */
import assert from 'node:assert/strict';
import { after, afterEach, describe, it } from 'node:test';
import { native } from '../../native/index.ts';
import type { MessageChannel } from '../../native/interface.ts';
import { IcStatus } from '../../protocol/ic/status.ts';
import { kvpProtocol } from '../../protocol/kvp/vmbus.ts';
import { KvpHost, type KvpHostOptions, RefusedError } from '../../simulator/hosts/kvp-host.ts';
import { Ground } from '../../simulator/stages/daemon.ts';
import { type HostClock, HostError, type WireMessage } from '../../simulator/wire.ts';
import { type GuestPacket, type RingGuest, startRingGuest } from './ring-guest.ts';

const codec = kvpProtocol.hvUtils!;
const cleanups: (() => unknown)[] = [];
const cleanUp = async (): Promise<void> => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
};
afterEach(cleanUp);
after(cleanUp);

function openHost(wire: 'unix' | 'unix-ring', options: Partial<KvpHostOptions> = {}) {
  const ground = new Ground();
  cleanups.push(() => ground.dispose());
  const host = new KvpHost(wire, { native, socketPath: ground.socketPath, ...options });
  cleanups.push(() => host.close());
  return { host, path: ground.socketPath };
}

/** A clock that only moves when told. */
function handClock(): HostClock & { advance(ms: number): void } {
  let nowMs = 0;
  const timers = new Set<{ atMs: number; callback: () => void }>();
  return {
    nowMs: () => nowMs,
    after: (delayMs, callback) => {
      const timer = { atMs: nowMs + delayMs, callback };
      timers.add(timer);
      return () => timers.delete(timer);
    },
    advance: (ms) => {
      nowMs += ms;
      for (const timer of [...timers].filter(({ atMs }) => atMs <= nowMs)) {
        timers.delete(timer);
        timer.callback();
      }
    },
  };
}

/** Opens the device and does with each message after the registration's answer what it is told. */
function messageGuest(
  path: string,
  onRequest: (message: Uint8Array, channel: MessageChannel) => void,
) {
  const channel = native.connectMessageSocket(path);
  cleanups.push(() => channel.close());
  const buffer = new Uint8Array(codec.messageBytes);
  let registered = false;
  const ended = new Promise<string>((resolve) => {
    channel.start(
      buffer,
      () => {
        if (registered) onRequest(buffer, channel);
        registered = true;
      },
      (end) => resolve(end.reason),
    );
  });
  return { channel, ended };
}

const withStatus = (message: Uint8Array, status: number): Uint8Array => {
  new DataView(message.buffer).setUint32(0, status, true);
  return message;
};

const code = (expected: HostError['code']) => (error: unknown) =>
  error instanceof HostError && error.code === expected;

describe('the simulated hv_utils', () => {
  it('registers a guest, asks one thing at a time, and tells of each message', async () => {
    const told: WireMessage[] = [];
    const { host, path } = openHost('unix', { tap: (message) => told.push(message) });
    let pending = 0;
    const guest = messageGuest(path, (message, channel) => {
      assert.equal(++pending, 1, 'one transaction at a time');
      setImmediate(() => {
        pending--;
        channel.write(withStatus(message, IcStatus.noMoreItems));
      });
    });
    guest.channel.write(codec.encodeRegistration());
    assert.equal(await host.link.ready(), '3.1');
    const answers = await Promise.all([host.at(1, 0), host.get(0, 'key'), host.delete(3, 'other')]);
    assert.deepEqual(answers, [undefined, undefined, false]);
    await assert.rejects(host.set(0, 'key', 'value'), RefusedError);
    assert.deepEqual(
      told
        .map(({ from, operation, subject, status, bytes }) =>
          [from, operation, subject, status, bytes].join(' '),
        )
        .slice(0, 4),
      [
        'guest register   7432',
        'host register 3.1  7432',
        'host enumerate [0]  7432',
        `guest enumerate [0] ${IcStatus.noMoreItems} 7432`,
      ],
    );
  });

  it('gives up on an answer after 30 s, and turns away one that comes later', async () => {
    const clock = handClock();
    const { host, path } = openHost('unix', { clock });
    let asked = (): void => {};
    const heard = new Promise<void>((resolve) => {
      asked = resolve;
    });
    const guest = messageGuest(path, () => asked());
    guest.channel.write(codec.encodeRegistration());
    await host.link.ready();
    const lost = host.at(1, 0);
    lost.catch(() => {});
    await heard;
    clock.advance(29_999);
    clock.advance(1);
    await assert.rejects(lost, code('silent'));
    guest.channel.write(new Uint8Array(codec.messageBytes));
    assert.equal(await guest.ended, 'gone');
    assert.deepEqual(host.link.violations, ['a message while nothing was pending']);
  });

  for (const [what, send, violation] of [
    [
      'a registration of another operation',
      () => new Uint8Array(codec.messageBytes).fill(3, 0, 1),
      'registration: expected operation 100, got 3',
    ],
    [
      'a registration too short',
      () => codec.encodeRegistration().slice(0, 100),
      'message length: expected 7432 bytes, got 100',
    ],
    [
      'a registration too long',
      () => new Uint8Array(codec.messageBytes + 1),
      'message length: expected 7432 bytes, got 7433',
    ],
  ] as const) {
    it(`turns away ${what}`, async () => {
      const { host, path } = openHost('unix');
      const guest = messageGuest(path, () => {});
      guest.channel.write(send());
      assert.equal(await guest.ended, 'gone');
      assert.deepEqual(host.link.violations, [violation]);
      assert.equal(host.link.readyCount, 0);
    });
  }

  it('lets in one guest at a time', async () => {
    const { host, path } = openHost('unix');
    const first = messageGuest(path, () => {});
    first.channel.write(codec.encodeRegistration());
    await host.link.ready();
    const second = messageGuest(path, () => {});
    assert.equal(await second.ended, 'gone');
    assert.equal(host.utils!.refusedCount, 1);
    const next = host.link.nextReady();
    first.channel.close();
    await new Promise((resolve) => setImmediate(resolve));
    const third = messageGuest(path, () => {});
    third.channel.write(codec.encodeRegistration());
    await next;
  });

  it('knows an unanswered message from one that was answered', async () => {
    const { host, path } = openHost('unix');
    let ignore = true;
    const guest = messageGuest(path, (message, channel) => {
      if (!ignore) channel.write(withStatus(message, IcStatus.invalidArgument));
      ignore = false;
    });
    guest.channel.write(codec.encodeRegistration());
    await host.link.ready();
    const message = host.link.encode({ operation: 'enumerate', pool: 1, index: 0 });
    assert.equal(await host.link.exchange(message), undefined);
    const answer = await host.link.exchange(message);
    assert.equal(answer && host.link.statusOf(answer), IcStatus.invalidArgument);
  });
});

function ringGuest(
  path: string,
  onPacket: (packet: GuestPacket, guest: RingGuest) => void,
): RingGuest {
  const guest = startRingGuest(path, onPacket);
  cleanups.push(() => guest.stop());
  return guest;
}

/**
 * A negotiation's good answer, written by hand: flags, counts 1 and 1, framework 3.0, messages 4.0.
 */
function negotiated(payload: Uint8Array): Uint8Array {
  payload[25] = 5;
  payload[18] = 16;
  payload.set([1, 0, 1, 0, 0, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0], 28);
  return payload;
}

function answered(payload: Uint8Array, status: number): Uint8Array {
  payload[25] = 5;
  new DataView(payload.buffer, payload.byteOffset).setUint32(20, status, true);
  return payload;
}

const isNegotiation = (payload: Uint8Array): boolean => payload[12] === 0;

describe('the simulated VMBus host', () => {
  it('negotiates, and matches answers that come in another order', async () => {
    const { host, path } = openHost('unix-ring');
    const kept: (() => void)[] = [];
    ringGuest(path, ({ payload, id }, guest) => {
      if (isNegotiation(payload)) return guest.send({ type: 6, id, payload: negotiated(payload) });
      const index = payload[32]!;
      kept.push(() =>
        guest.send({
          type: 6,
          id,
          payload: answered(payload, index === 0 ? IcStatus.noMoreItems : IcStatus.fail),
        }),
      );
      if (kept.length === 2) for (const send of kept.reverse()) send();
    });
    assert.equal(await host.link.ready(), 'framework 3.0, messages 4.0');
    const [first, second] = await Promise.all([
      host.request({ operation: 'enumerate', pool: 1, index: 0 }),
      host.request({ operation: 'enumerate', pool: 1, index: 1 }),
    ]);
    assert.deepEqual([first.status, second.status], [IcStatus.noMoreItems, IcStatus.fail]);
    assert.deepEqual(host.link.violations, []);
  });

  const broken: (readonly [string, (payload: Uint8Array) => Uint8Array, RegExp])[] = [
    ['an answer that is no response', (p) => p.fill(3, 25, 26), /flags: expected 5, got 3/],
    [
      'an answer with an IC transaction id',
      (p) => p.fill(1, 24, 25),
      /transactionId: expected 0, got 1/,
    ],
    ['an answer of another service', (p) => p.fill(3, 12, 13), /messageType: expected 2, got 3/],
    ['an answer cut within its headers', (p) => p.slice(0, 24), /headers can't be read/],
    ['an answer shorter than its body says', (p) => p.slice(0, 1000), /headers can't be read/],
  ];
  for (const [what, spoil, violation] of broken) {
    it(`finds fault with ${what}`, async () => {
      const { host, path } = openHost('unix-ring');
      ringGuest(path, ({ payload, id }, guest) => {
        const answer = isNegotiation(payload)
          ? negotiated(payload)
          : spoil(answered(payload, IcStatus.fail));
        guest.send({ type: 6, id, payload: answer });
      });
      await host.link.ready();
      await assert.rejects(
        host.request({ operation: 'enumerate', pool: 1, index: 0 }),
        code('broken'),
      );
      assert.match(host.link.violations.join(), violation);
    });
  }

  const negotiations: (readonly [string, (payload: Uint8Array) => Uint8Array, RegExp])[] = [
    ['a version that was not offered', (p) => p.fill(9, 36, 37), /not offered/],
    ['two versions', (p) => p.fill(2, 28, 29).fill(20, 18, 19), /2 and 1 versions/],
    ['nothing in common', (p) => p.fill(0, 28, 32), /none of the offered versions/],
  ];
  for (const [what, spoil, violation] of negotiations) {
    it(`hangs up on a guest that negotiates ${what}`, async () => {
      const { host, path } = openHost('unix-ring');
      const guest = ringGuest(path, ({ payload, id }, guest) =>
        guest.send({ type: 6, id, payload: spoil(negotiated(payload)) }),
      );
      assert.equal(await guest.ended, 'gone');
      assert.match(host.link.violations.join(), violation);
      assert.equal(host.link.readyCount, 0);
    });
  }

  it(
    'hangs up on a guest that answers with another packet type, or what nobody ' + 'asked',
    async () => {
      for (const [type, extra, violation] of [
        [11, 0n, /packet type: expected 6/],
        [6, 1n, /transaction 65537, which is not pending/],
      ] as const) {
        const { host, path } = openHost('unix-ring');
        const guest = ringGuest(path, ({ payload, id }, guest) =>
          guest.send({ type, id: id + extra, payload: negotiated(payload) }),
        );
        assert.equal(await guest.ended, 'gone');
        assert.match(host.link.violations.join(), violation);
      }
    },
  );

  it('gives up on a silent guest', async () => {
    const clock = handClock();
    const { host, path } = openHost('unix-ring', { clock });
    let asked = (): void => {};
    const heard = new Promise<void>((resolve) => {
      asked = resolve;
    });
    ringGuest(path, ({ payload, id }, guest) => {
      if (isNegotiation(payload)) guest.send({ type: 6, id, payload: negotiated(payload) });
      else asked();
    });
    await host.link.ready();
    const lost = host.at(1, 0);
    lost.catch(() => {});
    await heard;
    clock.advance(30_000);
    await assert.rejects(lost, code('silent'));
  });

  it('fails what is pending when the guest leaves', async () => {
    const { host, path } = openHost('unix-ring');
    ringGuest(path, ({ payload, id }, guest) => {
      if (isNegotiation(payload)) guest.send({ type: 6, id, payload: negotiated(payload) });
      else guest.leave();
    });
    await host.link.ready();
    await assert.rejects(host.at(1, 0), code('gone'));
  });
});
