import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ChannelEnd, MessageChannel } from '../../../native/interface.ts';
import { IcStatus } from '../../../protocol/ic/status.ts';
import type { HvUtilsCodec } from '../../../protocol/service-protocol.ts';
import { levels } from '../../../runtime/log.ts';
import type { Peer, Service } from '../../../runtime/service.ts';
import { createHvUtilsSession } from '../../../runtime/sessions/hvutils.ts';
import type { Keeping, SessionEnd } from '../../../runtime/sessions/session.ts';
import { type ToyReply, type ToyRequest, toyProtocol } from '../toy.ts';

/** A session on a scripted channel: what it wrote, how it ended, and what it logged. */
function start(
  handle: Service<ToyRequest, ToyReply>['handle'],
  codec: HvUtilsCodec<ToyRequest, ToyReply> = toyProtocol.hvUtils,
  keeping?: Keeping,
  refused?: string,
) {
  const written: Uint8Array[] = [];
  const calls: string[] = [];
  const lines: string[] = [];
  let now = 0;
  let refusal =
    refused === undefined ? undefined : Object.assign(new Error(refused), { code: refused });
  let hooks!: {
    buffer: Uint8Array;
    onMessage: (bytes: number) => void;
    onEnd: (end: ChannelEnd) => void;
  };
  const channel: MessageChannel = {
    fd: -1,
    start: (buffer, onMessage, onEnd) => {
      hooks = { buffer, onMessage, onEnd };
    },
    write: (message) => {
      if (refusal) throw refusal;
      written.push(message.slice());
    },
    stream: () => calls.push('stream'),
    pause: () => calls.push('pause'),
    resume: () => calls.push('resume'),
    close: () => calls.push('close'),
  };
  const peers: Peer[] = [];
  const ends: SessionEnd[] = [];
  const log = levels((severity, message) => lines.push(`${severity}: ${message}`));
  const service: Service<ToyRequest, ToyReply> = { handle, connected: () => {}, close: () => {} };
  const session = createHvUtilsSession(
    channel,
    { codec, keeping },
    {
      service,
      hostLog: log,
      events: {
        connected: (peer) => peers.push(peer),
        traffic: () => {},
        ended: (end) => ends.push(end),
      },
      now: () => now,
    },
  );
  session.start();
  return {
    session,
    written,
    calls,
    lines,
    peers,
    ends,
    receive: (bytes: Uint8Array) => {
      hooks.buffer.set(bytes);
      hooks.onMessage(bytes.length);
    },
    register() {
      this.receive(codec.encodeRegistrationAnswer('7'));
      written.length = 0;
    },
    ask(request: number) {
      this.receive(codec.encodeRequest(request));
    },
    end: (end: ChannelEnd) => hooks.onEnd(end),
    refuse: (code: string) => {
      refusal = Object.assign(new Error(`${code}: write`), { code });
    },
    advance: (ms: number) => {
      now += ms;
    },
  };
}

const double = (request: ToyRequest): ToyReply => ({ status: 0, number: request * 2 });
const message = (first: number, second: number): number[] => [
  ...new Uint8Array(Uint32Array.of(first, second).buffer),
];
const settled = () => new Promise((resolve) => setImmediate(resolve));

describe('hv_utils session', () => {
  it('registers, tells who answered, then answers requests at once', () => {
    const s = start(double);
    assert.deepEqual(
      s.written.map((bytes) => [...bytes]),
      [message(0xff, 0)],
    );
    s.receive(toyProtocol.hvUtils.encodeRequest(3)); // before the registration was answered
    assert.equal(s.written.length, 1);
    s.register();
    assert.deepEqual(s.peers, [{ via: 'hv_utils', versionText: 'v7' }]);
    s.ask(21);
    assert.deepEqual(
      s.written.map((bytes) => [...bytes]),
      [message(0, 42)],
    );
    assert.deepEqual(s.session.counters(), { requests: 1, malformed: 0, lateReplies: 0 });
  });

  it('refuses a body it cannot decode, and goes on', () => {
    const s = start(double);
    s.register();
    s.ask(100);
    s.ask(1);
    assert.deepEqual(
      s.written.map((bytes) => [...bytes]),
      [message(IcStatus.invalidArgument, 0), message(0, 2)],
    );
    assert.deepEqual(s.lines, ['warning: Refused a malformed request']);
  });

  it('drops messages of a wrong length', () => {
    const s = start(double);
    s.register();
    s.receive(new Uint8Array(7));
    s.receive(new Uint8Array(9));
    s.ask(1);
    assert.equal(s.written.length, 1);
    assert.equal(s.session.counters()['malformed'], 2);
  });

  it('turns what the service throws into a failure reply', async () => {
    for (const handle of [
      () => {
        throw new Error('boom');
      },
      () => Promise.reject(new Error('boom')),
    ]) {
      const s = start(handle);
      s.register();
      s.ask(1);
      await settled();
      assert.deepEqual(
        s.written.map((bytes) => [...bytes]),
        [message(IcStatus.fail, 0)],
      );
      assert.match(s.lines[0]!, /^error: A request failed inside the service/);
      assert.deepEqual(s.ends, []);
    }
  });

  it('pauses while a request is worked on, and shows since when', async () => {
    let finish!: (reply: ToyReply) => void;
    const s = start(() => new Promise((resolve) => (finish = resolve)));
    s.register();
    s.advance(5);
    s.ask(1);
    assert.equal(s.session.busySinceMs, 5);
    assert.deepEqual([s.calls, s.written], [['pause'], []]);
    finish({ status: 0, number: 9 });
    await settled();
    assert.equal(s.session.busySinceMs, undefined);
    assert.deepEqual(s.calls, ['pause', 'resume']);
    assert.deepEqual(
      s.written.map((bytes) => [...bytes]),
      [message(0, 9)],
    );
  });

  it('never writes a reply which the kernel would take for the next one', async () => {
    let finish!: (reply: ToyReply) => void;
    const s = start(() => new Promise((resolve) => (finish = resolve)));
    s.register();
    s.ask(1);
    s.advance(28_001);
    finish({ status: 0 });
    await settled();
    assert.deepEqual(s.written, []);
    assert.deepEqual(s.ends, [
      { reason: 'reopen', why: 'a reply came too late for the kernel to take it' },
    ]);
    assert.deepEqual(s.calls, ['pause', 'close']);
  });

  it('waits as long as the kernel does for a request that may take longer', async () => {
    let finish!: (reply: ToyReply) => void;
    const codec = { ...toyProtocol.hvUtils, timeoutSecs: (request: ToyRequest) => request };
    const s = start(() => new Promise((resolve) => (finish = resolve)), codec);
    s.register();
    s.ask(90);
    s.advance(88_000);
    finish({ status: 0, number: 9 });
    await settled();
    assert.equal(s.written.length, 1);
    s.ask(90);
    s.advance(88_001);
    finish({ status: 0 });
    await settled();
    assert.equal(s.written.length, 1);
    assert.equal(s.ends.length, 1);
  });

  it('takes an answer to the registration that is shorter than a message', () => {
    const s = start(double, {
      ...toyProtocol.hvUtils,
      registrationAnswerBytes: 4,
      decodeRegistration: (bytes) => (bytes.length === 4 ? String(bytes[0]) : undefined),
      encodeRegistrationAnswer: (text) => Uint8Array.of(Number(text), 0, 0, 0),
    });
    s.ask(3); // of a moment before
    s.receive(new Uint8Array(5));
    assert.deepEqual(s.peers, []);
    s.register();
    assert.deepEqual(s.peers, [{ via: 'hv_utils', versionText: '7' }]);
    s.receive(Uint8Array.of(7, 0, 0, 0));
    s.ask(21);
    assert.deepEqual(
      s.written.map((bytes) => [...bytes]),
      [message(0, 42)],
    );
    assert.equal(s.session.counters()['malformed'], 2);
  });

  it('reopens when a reply is refused', () => {
    const s = start(double);
    s.register();
    s.refuse('EINVAL');
    s.ask(1);
    assert.deepEqual(s.ends, [{ reason: 'reopen', why: 'the kernel no longer awaits this reply' }]);
    assert.deepEqual(s.calls, ['close']);
  });

  it('ends once when the device goes away, and writes nothing afterwards', async () => {
    let finish!: (reply: ToyReply) => void;
    const s = start(() => new Promise((resolve) => (finish = resolve)));
    s.register();
    s.ask(1);
    s.end({ reason: 'gone' });
    s.end({ reason: 'gone' });
    finish({ status: 0 });
    await settled();
    assert.deepEqual(s.ends, [{ reason: 'gone' }]);
    assert.deepEqual(s.written, []);
    assert.deepEqual(s.calls, ['pause', 'close']);
  });

  it('reopens after a failed read', () => {
    const s = start(double);
    s.end({
      reason: 'error',
      error: Object.assign(new Error('EIO: read'), { code: 'EIO', errno: 5, syscall: 'read' }),
    });
    assert.deepEqual(s.ends, [{ reason: 'reopen', why: 'EIO: read' }]);
  });
});

describe('hv_utils session on a kept device', () => {
  const peer: Peer = { via: 'hv_utils', versionText: 'v5' };
  const kept = (begun: boolean, known?: Peer) => {
    const begins: string[] = [];
    return {
      begins,
      keeping: { begun, peer: known, begin: () => void begins.push('begin') } satisfies Keeping,
    };
  };

  it('registers in the first life, and stays until that is answered', () => {
    const { begins, keeping } = kept(false);
    const s = start(double, undefined, keeping);
    assert.deepEqual(
      s.written.map((bytes) => [...bytes]),
      [message(0xff, 0)],
    );
    assert.deepEqual(begins, ['begin']);
    assert.equal(s.session.leave(), false);
    s.register();
    assert.equal(s.session.leave(), true);
    assert.deepEqual(s.calls, ['close']);
    assert.equal(s.session.leave(), false);
  });

  it('writes nothing but answers in a later one', () => {
    const s = start(double, undefined, kept(true, peer).keeping);
    assert.deepEqual(s.written, []);
    assert.deepEqual(s.peers, [peer]);
    s.ask(21);
    assert.deepEqual(
      s.written.map((bytes) => [...bytes]),
      [message(0, 42)],
    );
  });

  it('answers also when nobody knows who answered the first', () => {
    const s = start(double, undefined, kept(true).keeping);
    assert.deepEqual(s.peers, []);
    s.ask(1);
    assert.equal(s.written.length, 1);
  });

  it('takes the answer to a registration that an earlier life did not live to see', () => {
    const s = start(double, undefined, kept(true).keeping);
    s.receive(toyProtocol.hvUtils.encodeRegistrationAnswer('7'));
    assert.deepEqual(s.peers, [{ via: 'hv_utils', versionText: 'v7' }]);
    assert.deepEqual(s.written, []);
  });

  it('takes a refused registration for one that was made before', () => {
    const { begins, keeping } = kept(false);
    const s = start(double, undefined, keeping, 'EINVAL');
    assert.deepEqual(s.ends, []);
    assert.deepEqual(begins, ['begin']);
  });

  it('goes on after a reply that came too late, or is refused', async () => {
    let finish!: (reply: ToyReply) => void;
    const s = start(
      () => new Promise((resolve) => (finish = resolve)),
      undefined,
      kept(true, peer).keeping,
    );
    s.ask(1);
    assert.equal(s.session.leave(), false);
    s.advance(28_001);
    finish({ status: 0 });
    await settled();
    assert.deepEqual([s.written, s.ends], [[], []]);
    s.ask(2);
    s.refuse('EINVAL');
    finish({ status: 0 });
    await settled();
    assert.deepEqual(s.ends, []);
    assert.deepEqual(s.calls, ['pause', 'resume', 'pause', 'resume']);
    assert.equal(s.session.leave(), true);
  });
});
