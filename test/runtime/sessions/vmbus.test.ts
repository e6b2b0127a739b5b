import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ChannelEnd, OnPacket, RingChannel } from '../../../native/interface.ts';
import { IcStatus } from '../../../protocol/ic/status.ts';
import { formatVersion } from '../../../protocol/ic/version.ts';
import { EncodeError } from '../../../protocol/layout/index.ts';
import { levels } from '../../../runtime/log.ts';
import type { Peer, Service } from '../../../runtime/service.ts';
import type { Keeping, SessionEnd } from '../../../runtime/sessions/session.ts';
import { createVmbusSession } from '../../../runtime/sessions/vmbus.ts';
import { type ToyReply, type ToyRequest, toyProtocol } from '../toy.ts';

const u16 = (...values: number[]): number[] =>
  values.flatMap((value) => [value & 0xff, value >> 8]);
/** Bytes of one message, written out by hand: pipe header, IC header, body. */
const packet = (
  type: number,
  body: number[],
  flags = 3,
  status: number[] = [0, 0, 0, 0],
): Uint8Array =>
  Uint8Array.from([
    ...u16(1, 0, 20 + body.length, 0),
    ...u16(3, 0, type, 2, 0, body.length),
    ...status,
    0,
    flags,
    0,
    0,
    ...body,
  ]);
const NEGOTIATION = packet(0, u16(1, 2, 0, 0, 3, 0, 1, 0, 2, 0));

function start(
  handle: Service<ToyRequest, ToyReply>['handle'],
  extraVersions = toyProtocol.optionalVersions.slice(0, 0),
  protocol = toyProtocol,
  keeping?: Keeping,
) {
  const written: { transactionId: bigint; bytes: Uint8Array }[] = [];
  const calls: string[] = [];
  let refusal: (Error & { code: string }) | undefined;
  const lines: string[] = [];
  const peers: string[] = [];
  const ends: SessionEnd[] = [];
  let hooks!: { buffer: Uint8Array; onPacket: OnPacket; onEnd: (end: ChannelEnd) => void };
  const channel = {
    fd: -1,
    ringDataBytes: 4096,
    start: (buffer, onPacket, onEnd) => {
      hooks = { buffer, onPacket, onEnd };
    },
    write: (type, _flags, transactionId, payload) => {
      if (refusal) throw refusal;
      assert.equal(type, 6);
      written.push({ transactionId, bytes: payload.slice() });
      return true;
    },
    stream: () => void calls.push('stream'),
    pause: () => void calls.push('pause'),
    resume: () => void calls.push('resume'),
    leave: () => true,
    statistics: () => ({ packetsRead: 0, packetsWritten: 0, signalsSent: 0, wakes: 0, queued: 0 }),
    close: () => void calls.push('close'),
  } satisfies RingChannel;
  const log = levels((severity, message) => lines.push(`${severity}: ${message}`));
  const describePeer = (peer: Peer): string =>
    peer.via === 'vmbus'
      ? `${formatVersion(peer.framework)}/${formatVersion(peer.message)}`
      : peer.via;
  const session = createVmbusSession(
    channel,
    { protocol, extraVersions, keeping },
    {
      service: { handle, connected: () => {}, close: () => {} },
      hostLog: log,
      events: {
        connected: (peer) => void peers.push(describePeer(peer)),
        traffic: () => {},
        ended: (end) => void ends.push(end),
      },
      now: () => 1,
    },
  );
  session.start();
  let transactionId = 0x1_0000_0000n;
  return {
    session,
    written,
    calls,
    lines,
    peers,
    ends,
    /** Sends a packet and gives what was answered to it at once. */
    send(bytes: Uint8Array, type = 6): number[] | undefined {
      hooks.buffer.fill(0xee);
      hooks.buffer.set(bytes);
      const before = written.length;
      hooks.onPacket(type, 1, ++transactionId, bytes.length);
      const reply = written[before];
      if (reply) assert.equal(reply.transactionId, transactionId);
      return reply && [...reply.bytes];
    },
    end: (end: ChannelEnd) => hooks.onEnd(end),
    refuse: (code: string) => {
      refusal = Object.assign(new Error(`${code}: write`), { code });
    },
  };
}
const double = (request: ToyRequest): ToyReply => ({ status: 0, number: request * 2 });
const FAILED = [0x05, 0x40, 0x00, 0x80]; // E_FAIL
const settled = () => new Promise((resolve) => setImmediate(resolve));

describe('IC session', () => {
  it('answers negotiation itself, again at any time', () => {
    const s = start(double);
    const answer = [...packet(0, u16(1, 1, 0, 0, 3, 0, 2, 0), 5), ...u16(2, 0)];
    answer[4] = 20 + 20; // the length of the pipe message stays, as hv_utils has it
    assert.deepEqual(s.send(NEGOTIATION), answer);
    assert.deepEqual(s.send(NEGOTIATION), answer);
    assert.deepEqual(s.peers, ['3.0/2.0', '3.0/2.0']);
  });

  it('offers an optional version only when told to', () => {
    const offer = packet(0, u16(1, 2, 0, 0, 3, 0, 2, 0, 3, 0));
    const plain = start(double);
    plain.send(offer);
    assert.deepEqual(plain.peers, ['3.0/2.0']);
    const extra = start(double, toyProtocol.optionalVersions);
    extra.send(offer);
    assert.deepEqual(extra.peers, ['3.0/3.0']);
  });

  it('says so when there is no version in common, and refuses requests', () => {
    const s = start(double);
    const answer = s.send(packet(0, u16(1, 1, 0, 0, 3, 0, 77, 0)))!;
    assert.deepEqual(answer.slice(28, 32), [0, 0, 0, 0]);
    assert.deepEqual(s.peers, []);
    assert.deepEqual(s.send(packet(9, [1, 0, 0, 0])), [...packet(9, [1, 0, 0, 0], 5, FAILED)]);
  });

  it('answers requests in place at their own length, trailing bytes included', () => {
    const s = start(double);
    s.send(NEGOTIATION);
    assert.deepEqual(s.send(packet(9, [21, 0, 0, 0, 7])), [...packet(9, [42, 0, 0, 0, 7], 5)]);
    const padded = Uint8Array.from([...packet(9, [1, 0, 0, 0]), 1, 2, 3, 4]);
    assert.deepEqual(s.send(padded), [...packet(9, [2, 0, 0, 0], 5), 1, 2, 3, 4]);
  });

  it('leaves the body alone when it refuses', () => {
    const s = start(double);
    s.send(NEGOTIATION);
    const invalid = [0x57, 0x00, 0x07, 0x80];
    assert.deepEqual(s.send(packet(9, [100, 0, 0, 0])), [...packet(9, [100, 0, 0, 0], 5, invalid)]);
    assert.deepEqual(s.send(packet(9, [1, 0])), [...packet(9, [1, 0], 5, invalid)]);
    assert.deepEqual(s.send(packet(8, [1])), [...packet(8, [1], 5, [0x32, 0x00, 0x07, 0x80])]);
    const { malformed, requests } = s.session.counters() as { malformed: number; requests: number };
    assert.deepEqual({ malformed, requests }, { malformed: 2, requests: 2 });
  });

  it('drops what has no good header, and goes on', () => {
    const s = start(double);
    s.send(NEGOTIATION);
    const good = packet(9, [1, 0, 0, 0]);
    const broken = (at: number, value: number): Uint8Array => {
      const bytes = good.slice();
      bytes[at] = value;
      return bytes;
    };
    for (const bytes of [
      new Uint8Array(0),
      good.subarray(0, 27),
      broken(0, 2),
      broken(4, 25),
      broken(18, 5),
      broken(25, 4),
      packet(0, u16(101, 1, 0, 0)),
      packet(0, u16(1)),
    ]) {
      assert.equal(s.send(bytes), undefined);
    }
    assert.equal(s.send(good, 11), undefined);
    assert.equal(s.session.counters()['dropped'], 9);
    assert.ok(s.send(good));
    assert.deepEqual(s.ends, []);
  });

  it('keeps the order of requests when one takes long', async () => {
    let finish!: (reply: ToyReply) => void;
    const s = start(() => new Promise((resolve) => (finish = resolve)));
    s.send(NEGOTIATION);
    assert.equal(s.send(packet(9, [1, 0, 0, 0])), undefined);
    assert.deepEqual(s.calls, ['pause']);
    assert.equal(s.session.busySinceMs, 1);
    finish({ status: 0, number: 5 });
    await settled();
    assert.deepEqual(s.calls, ['pause', 'resume']);
    assert.deepEqual([...s.written.at(-1)!.bytes], [...packet(9, [5, 0, 0, 0], 5)]);
  });

  it('tells the host that a request failed when the reply cannot be encoded', () => {
    const ic = {
      ...toyProtocol.ic,
      encodeReply: () => {
        throw new EncodeError('tooLong', 0, 'less', 'more');
      },
    };
    const s = start(double, [], { ...toyProtocol, ic });
    s.send(NEGOTIATION);
    assert.deepEqual(s.send(packet(9, [1, 0, 0, 0])), [...packet(9, [1, 0, 0, 0], 5, FAILED)]);
    assert.match(s.lines.at(-1)!, /A reply does not fit/);
  });

  it(
    'takes a refused reply for a device that went away, unless the ring itself is at ' + 'fault',
    () => {
      for (const [code, reason] of [
        ['EPIPE', 'gone'],
        ['EIO', 'gone'],
        ['ERING', 'failed'],
        ['ENOBUFS', 'failed'],
      ] as const) {
        const s = start(double);
        s.send(NEGOTIATION);
        s.refuse(code);
        assert.equal(s.send(packet(9, [1, 0, 0, 0])), undefined);
        assert.deepEqual(
          s.ends.map((end) => end.reason),
          [reason],
          code,
        );
      }
    },
  );

  it('ends with the reason of a broken ring, and writes nothing afterwards', async () => {
    let finish!: (reply: ToyReply) => void;
    const s = start(() => new Promise((resolve) => (finish = resolve)));
    s.send(NEGOTIATION);
    s.send(packet(9, [1, 0, 0, 0]));
    const error = Object.assign(new Error('ring: write index'), {
      code: 'ERING',
      errno: 0,
      syscall: 'read',
    });
    s.end({ reason: 'error', error });
    finish({ status: IcStatus.ok });
    await settled();
    assert.deepEqual(s.ends, [{ reason: 'failed', error }]);
    assert.equal(s.written.length, 1);
    assert.deepEqual(s.calls, ['pause', 'close']);
  });
});

describe('IC session on a kept channel', () => {
  const agreed: Peer = {
    via: 'vmbus',
    framework: { major: 3, minor: 0 },
    message: { major: 2, minor: 0 },
  };
  const later = (peer: Peer | undefined) =>
    start(double, [], toyProtocol, { begun: true, peer, begin: () => assert.fail('it has begun') });
  /** A request whose header claims a version. */
  const request = (major: number): Uint8Array => {
    const bytes = packet(9, [4, 0, 0, 0]);
    bytes[14] = major;
    return bytes;
  };

  it('remembers a negotiation before the host hears of it', () => {
    const order: string[] = [];
    const s = start(double, [], toyProtocol, {
      begun: false,
      peer: agreed,
      begin: () => order.push(`begin, ${s.written.length} written, ${s.peers}`),
    });
    assert.deepEqual(s.peers, []);
    s.send(NEGOTIATION);
    assert.deepEqual(order, ['begin, 0 written, 3.0/2.0']);
    assert.equal(s.written.length, 1);
  });

  it('goes on with what was agreed on', () => {
    const s = later(agreed);
    assert.deepEqual(s.peers, ['3.0/2.0']);
    assert.equal(s.send(request(77))![28], 8);
  });

  it('goes by the header of a message where that is not known, if it knows that version', () => {
    for (const peer of [
      undefined,
      { via: 'hv_utils', versionText: '2.0' } as const,
      { ...agreed, message: { major: 8, minor: 0 } },
    ]) {
      const s = later(peer);
      assert.deepEqual(s.peers, []);
      assert.equal(s.send(request(1))![28], 8);
      assert.deepEqual(s.send(request(77))!.slice(20, 24), FAILED);
    }
  });

  it('takes no header for it on a fresh channel, whatever is said of earlier ones', () => {
    const s = start(double, [], toyProtocol, { begun: false, peer: agreed, begin: () => {} });
    assert.deepEqual(s.send(request(2))!.slice(20, 24), FAILED);
  });

  it('leaves when nothing is being worked on', async () => {
    let finish!: (reply: ToyReply) => void;
    const s = start(() => new Promise((resolve) => (finish = resolve)), [], toyProtocol, {
      begun: true,
      peer: agreed,
      begin: () => {},
    });
    s.send(request(2));
    assert.equal(s.session.leave(), false);
    finish({ status: 0, number: 1 });
    await settled();
    assert.equal(s.session.leave(), true);
    assert.deepEqual(s.calls, ['pause', 'resume', 'close']);
  });
});
