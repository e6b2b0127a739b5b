import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { FileSink } from '../../../native/interface.ts';
import { IcStatus } from '../../../protocol/ic/status.ts';
import { DecodeError } from '../../../protocol/layout/index.ts';
import { levels } from '../../../runtime/log.ts';
import type { Service } from '../../../runtime/service.ts';
import {
  type Received,
  RequestLoop,
  type Wire,
  type WireListener,
} from '../../../runtime/sessions/request-loop.ts';
import type { SessionEnd } from '../../../runtime/sessions/session.ts';
import type { ToyReply, ToyRequest } from '../toy.ts';

/** A message is its request; one of 100 and more can't be decoded. */
interface Message extends Received {
  readonly number: number;
}

/** A wire without a channel: what the loop asked of it, in order. */
class FakeWire implements Wire<Message, ToyRequest, ToyReply> {
  readonly counts = { requests: 0, malformed: 0 };
  readonly calls: string[] = [];
  readonly channel = {
    pause: () => void this.calls.push('pause'),
    resume: () => void this.calls.push('resume'),
    close: () => void this.calls.push('close'),
  };
  /** How the next reply ends the session. */
  refusal: SessionEnd | undefined;
  mayLeave = true;
  listener!: WireListener<Message>;

  start(listener: WireListener<Message>): void {
    this.listener = listener;
  }
  decode({ number }: Message): ToyRequest {
    if (number >= 100) throw new DecodeError('value', 0, 'a number below 100', number);
    return number;
  }
  reply(message: Message, request: ToyRequest | undefined, { status, number }: ToyReply) {
    this.calls.push(`reply to ${message.number}/${request}: ${status}, ${number}`);
    return this.refusal;
  }
  stream({ number }: Message, sink: FileSink): void {
    this.calls.push(`stream like ${number} to ${sink.fd}`);
  }
  leave(): boolean {
    this.calls.push('leave');
    return this.mayLeave;
  }
  counters() {
    return this.counts;
  }
}

function start(handle: Service<ToyRequest, ToyReply>['handle']) {
  const wire = new FakeWire();
  const lines: string[] = [];
  const ends: SessionEnd[] = [];
  const loop = new RequestLoop<Message, ToyRequest, ToyReply>(wire, {
    service: { handle, connected: () => {}, close: () => {} },
    hostLog: levels((severity, message) => lines.push(`${severity}: ${message}`)),
    events: {
      connected: () => {},
      traffic: () => {},
      ended: (end) => {
        wire.calls.push('ended');
        ends.push(end);
      },
    },
    now: () => assert.fail('the wire reads the clock'),
  });
  loop.start();
  let receivedMs = 0;
  const ask = (number: number): void => wire.listener.serve({ number, receivedMs: ++receivedMs });
  return { loop, wire, lines, ends, ask, calls: wire.calls };
}

/** A service that answers when it is told to. */
function later() {
  let resolve!: (reply: ToyReply) => void;
  const promise = new Promise<ToyReply>((settle) => {
    resolve = settle;
  });
  return { handle: () => promise, resolve };
}

const double = (request: ToyRequest): ToyReply => ({ status: 0, number: request * 2 });
const settled = () => new Promise((resolve) => setImmediate(resolve));
const GONE: SessionEnd = { reason: 'gone' };

describe('request loop', () => {
  it('writes a reply before the request returns to its wire, without pausing it', () => {
    const { ask, calls, loop } = start(double);
    ask(21);
    assert.deepEqual(calls, ['reply to 21/21: 0, 42']);
    assert.equal(loop.busySinceMs, undefined);
    assert.equal(loop.lastRequestMs, 1);
  });

  it('pauses its wire until a promised reply is written', async () => {
    const { handle, resolve } = later();
    const { ask, calls, loop } = start(handle);
    ask(1);
    assert.equal(loop.busySinceMs, 1);
    assert.deepEqual(calls, ['pause']);
    resolve({ status: 0, number: 7 });
    await settled();
    assert.deepEqual(calls, ['pause', 'reply to 1/1: 0, 7', 'resume']);
    assert.equal(loop.busySinceMs, undefined);
  });

  it('answers what it cannot decode, and counts it', () => {
    const { ask, calls, loop, lines } = start(double);
    ask(100);
    assert.deepEqual(calls, [`reply to 100/undefined: ${IcStatus.invalidArgument}, undefined`]);
    assert.deepEqual(loop.counters(), { requests: 1, malformed: 1 });
    assert.deepEqual(lines, ['warning: Refused a malformed request']);
  });

  it('answers for a service that throws, or whose promise fails', async () => {
    const failed = `reply to 1/1: ${IcStatus.fail}, undefined`;
    const thrown = start(() => {
      throw new Error('boom');
    });
    thrown.ask(1);
    assert.deepEqual(thrown.calls, [failed]);
    const rejected = start(() => Promise.reject(new Error('boom')));
    rejected.ask(1);
    await settled();
    assert.deepEqual(rejected.calls, ['pause', failed, 'resume']);
    assert.deepEqual(thrown.lines, rejected.lines);
  });

  it('rethrows what is no fault of the message', () => {
    const { ask, wire } = start(double);
    wire.decode = () => {
      throw new TypeError('a fault of ours');
    };
    assert.throws(() => ask(1), TypeError);
  });

  it('ends as the wire says when a reply can not be written, and does not resume it', async () => {
    for (const handle of [double, async (request: ToyRequest) => double(request)]) {
      const { ask, calls, wire, ends, loop } = start(handle);
      wire.refusal = GONE;
      ask(1);
      await settled();
      assert.deepEqual(calls.slice(-3), ['reply to 1/1: 0, 2', 'close', 'ended']);
      assert.deepEqual(ends, [GONE]);
      assert.equal(loop.leave(), false);
    }
  });

  it('writes no reply after the end, and tells of one end only', async () => {
    const { handle, resolve } = later();
    const { ask, calls, wire, ends } = start(handle);
    ask(1);
    wire.listener.end(GONE);
    wire.listener.end({ reason: 'reopen', why: 'again' });
    resolve({ status: 0 });
    await settled();
    assert.deepEqual(calls, ['pause', 'close', 'ended']);
    assert.deepEqual(ends, [GONE]);
  });

  it('tells of no end after it was closed', async () => {
    const { handle, resolve } = later();
    const { ask, calls, loop, wire, ends } = start(handle);
    ask(1);
    loop.close();
    wire.listener.end(GONE);
    resolve({ status: 0 });
    await settled();
    assert.deepEqual(calls, ['pause', 'close']);
    assert.deepEqual(ends, []);
  });

  it('leaves only between requests, and when the wire has nothing waiting', async () => {
    const { handle, resolve } = later();
    const { ask, calls, loop, wire } = start(handle);
    ask(1);
    assert.equal(loop.leave(), false);
    resolve({ status: 0 });
    await settled();
    wire.mayLeave = false;
    assert.equal(loop.leave(), false);
    wire.mayLeave = true;
    assert.equal(loop.leave(), true);
    assert.deepEqual(calls.slice(-3), ['leave', 'leave', 'close']);
    assert.equal(calls.filter((call) => call === 'leave').length, 2);
  });

  it('hands over the messages that follow, after the reply', async () => {
    const sink: FileSink = { fd: 5, positionBytes: 0, write: () => {}, close: () => {} };
    for (const handle of [
      () => ({ status: 0, stream: sink }),
      async () => ({ status: 0, stream: sink }),
    ]) {
      const { ask, calls } = start(handle);
      ask(1);
      await settled();
      assert.deepEqual(
        calls.filter((call) => call !== 'pause' && call !== 'resume'),
        ['reply to 1/1: 0, undefined', 'stream like 1 to 5'],
      );
    }
  });

  it('hands over nothing when the reply ended the session', () => {
    const sink: FileSink = { fd: 5, positionBytes: 0, write: () => {}, close: () => {} };
    const { ask, calls, wire } = start(() => ({ status: 0, stream: sink }));
    wire.refusal = GONE;
    ask(1);
    assert.deepEqual(calls, ['reply to 1/1: 0, undefined', 'close', 'ended']);
  });
});
