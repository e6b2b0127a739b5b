/**
 * The recorded requests, answered by the session and the service as they run in the daemon: byte
 * for byte what hv_utils answered.
 */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import type { OnPacket, RingChannel } from '../../../native/interface.ts';
import { PacketType } from '../../../protocol/ic/packet.ts';
import { timesyncProtocol } from '../../../protocol/timesync/vmbus.ts';
import { parseTrace } from '../../../protocol/trace/trace.ts';
import { levels } from '../../../runtime/log.ts';
import { createVmbusSession } from '../../../runtime/sessions/vmbus.ts';
import { scripted } from './script.ts';

const FOLDER = path.join(import.meta.dirname, '../../../fixtures/timesync');
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/** A session whose packets the test brings in by hand. */
function session() {
  const script = scripted();
  const answers: { transactionId: bigint; payload: Uint8Array }[] = [];
  const lines: string[] = [];
  let receive!: (transactionId: bigint, payload: Uint8Array) => void;
  const channel: RingChannel = {
    fd: -1,
    ringDataBytes: 1 << 16,
    start: (buffer: Uint8Array, onPacket: OnPacket) => {
      receive = (transactionId, payload) => {
        buffer.set(payload);
        onPacket(PacketType.inband, 1, transactionId, payload.length);
      };
    },
    write: (type, flags, transactionId, payload) => {
      assert.deepEqual([type, flags], [PacketType.inband, 0]);
      answers.push({ transactionId, payload: payload.slice() });
      return true;
    },
    stream: () => assert.fail('no request carries a file'),
    pause: () => assert.fail('requests are answered at once'),
    resume: () => {},
    leave: () => true,
    statistics: () => ({ packetsRead: 0, packetsWritten: 0, signalsSent: 0, wakes: 0, queued: 0 }),
    close: () => {},
  };
  const log = levels((severity, message) => lines.push(`${severity}: ${message}`));
  createVmbusSession(
    channel,
    { protocol: timesyncProtocol, extraVersions: [] },
    {
      service: script.service,
      hostLog: log,
      events: {
        connected: (peer) => script.service.connected(peer),
        traffic: () => {},
        ended: () => assert.fail('the session ended'),
      },
      now: () => 0,
    },
  ).start();
  return { ...script, answers, lines, receive, script };
}

describe('answers equal those of hv_utils', () => {
  for (const name of ['v1', 'v3', 'v4']) {
    it(name, () => {
      const { receive, answers, drained, script } = session();
      const { entries } = parseTrace(fs.readFileSync(path.join(FOLDER, `${name}.trace`), 'utf8'));
      let exchanges = 0;
      for (const entry of entries) {
        if (entry.kind === 'note') continue;
        if (entry.direction === 'h2g') {
          script.pass(entry.delayMs);
          receive(entry.transactionId, entry.payload);
          drained();
          continue;
        }
        exchanges++;
        const answer = answers.shift();
        assert.ok(answer, 'every request is answered');
        assert.equal(answer.transactionId, entry.transactionId);
        assert.equal(hex(answer.payload), hex(entry.payload));
      }
      assert.deepEqual([exchanges, answers.length], [6, 0]);
      const { counters, version, lastStep } = script.status;
      assert.equal(version, `${name.slice(1)}.0`);
      assert.deepEqual([counters['syncs'], counters['samples'], counters['ignored']], [1, 3, 1]);
      // The recording's sync, and its sample an hour ahead, which hv_utils takes no notice of
      assert.deepEqual([counters['steps'], lastStep?.because], [2, 'resume']);
    });
  }
});

describe('malformed', () => {
  const negotiation = parseTrace(
    fs.readFileSync(path.join(FOLDER, 'v4.trace'), 'utf8'),
  ).entries.find((entry) => entry.kind === 'packet')!;
  const packets = parseTrace(fs.readFileSync(path.join(FOLDER, 'v4.trace'), 'utf8')).entries.filter(
    (entry) => entry.kind === 'packet',
  );

  it('bodies too short are refused with a failure, where hv_utils gives no answer at all', () => {
    assert.ok(negotiation.kind === 'packet');
    const { receive, answers, script, drained } = session();
    receive(1n, negotiation.payload);
    answers.length = 0;
    const sync = packets[2]!.payload;
    for (const bodyBytes of [0, 8, 16, 18]) {
      const short = sync.slice(0, 28 + Math.ceil(bodyBytes / 8) * 8);
      short[4] = 20 + bodyBytes;
      short[8 + 10] = bodyBytes;
      receive(2n, short);
      const answer = answers.pop()!;
      assert.equal(
        new DataView(answer.payload.buffer).getUint32(20, true),
        0x80070057,
        `${bodyBytes} bytes`,
      );
    }
    drained();
    assert.deepEqual(script.memory.clockAdjustments, []);
  });

  it('a request before a negotiation, and one of another service, set no clock', () => {
    const { receive, answers, script, drained } = session();
    receive(1n, packets[2]!.payload);
    assert.notEqual(new DataView(answers.pop()!.payload.buffer).getUint32(20, true), 0);
    assert.ok(negotiation.kind === 'packet');
    receive(2n, negotiation.payload);
    const other = packets[2]!.payload.slice();
    other[12] = 3;
    receive(3n, other);
    assert.notEqual(new DataView(answers.pop()!.payload.buffer).getUint32(20, true), 0);
    drained();
    assert.deepEqual(script.memory.clockAdjustments, []);
  });
});
