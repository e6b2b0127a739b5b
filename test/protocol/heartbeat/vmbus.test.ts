import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { type HeartbeatReply, heartbeatProtocol } from '../../../protocol/heartbeat/vmbus.ts';
import { IcStatus } from '../../../protocol/ic/status.ts';
import { version } from '../../../protocol/ic/version.ts';
import { replay } from '../exchanges.ts';
import { failsAs, hex, message, refuses, testVectors } from '../vector.ts';

const { ic } = heartbeatProtocol;
const V1 = version(1, 0);
const V3 = version(3, 0);
const beat = { sequence: 0x0102030405060708n };

describe('beats', () => {
  testVectors(
    (bytes) => ic.decodeRequest(bytes, V3),
    (value) => ic.encodeRequest(value, V3),
    [
      {
        name: 'a beat',
        bytes: message(40, { 0: '0807060504030201' }),
        value: beat,
        neededBytes: 8,
      },
      {
        name: 'the last sequence there is',
        bytes: message(40, { 0: 'ffffffffffffffff' }),
        value: { sequence: 0xffff_ffff_ffff_ffffn },
        neededBytes: 8,
      },
    ],
  );

  test('a beat too short for its sequence says so', () => {
    assert.throws(
      () => ic.decodeRequest(new Uint8Array(7), V3),
      failsAs(
        'truncated',
        'heartbeat.sequence',
        'heartbeat.sequence at offset 0: expected 8 bytes, got 7',
      ),
    );
  });
});

describe('answers', () => {
  const answered = (body: Uint8Array, reply: HeartbeatReply, messageVersion = V3): string => {
    ic.encodeReply(body, messageVersion, beat, reply);
    return hex(body);
  };
  const body = () => message(40, { 0: '0807060504030201', 12: 'eeeeeeee' });
  const ok = { status: IcStatus.ok, sequence: beat.sequence + 1n } as const;

  for (const [applicationState, code] of [
    ['unknown', '00'],
    ['healthy', '01'],
    ['critical', '02'],
    ['stopped', '03'],
    [77, '4d'],
  ] as const) {
    test(`the state ${applicationState} goes behind the sequence, and reserved bytes stay`, () => {
      const expected = message(40, { 0: `0907060504030201 ${code}000000 eeeeeeee` });
      const reply = { ...ok, applicationState };
      assert.equal(answered(body(), reply), hex(expected));
      assert.deepEqual(ic.decodeReply(expected, V3, beat, 0), reply);
    });
  }

  test('hosts of version 1.0, and those which sent fewer bytes, get the sequence alone', () => {
    const reply = { ...ok, applicationState: 'healthy' } as const;
    assert.equal(
      answered(body(), reply, V1),
      hex(message(40, { 0: '0907060504030201 00000000 eeeeeeee' })),
    );
    assert.equal(answered(body().slice(0, 8), reply), '0907060504030201');
    assert.equal(answered(body().slice(0, 11), reply), '0907060504030201000000');
    assert.equal(answered(body().slice(0, 12), reply), '090706050403020101000000');
    assert.deepEqual(ic.decodeReply(body(), V1, beat, 0), { status: 0, sequence: beat.sequence });
  });

  test(
    'a failure leaves the body as it is; a success without sequence or state is a fault of ' +
      'ours',
    () => {
      assert.equal(answered(body(), { status: IcStatus.fail }), hex(body()));
      assert.deepEqual(ic.decodeReply(body(), V3, beat, IcStatus.fail), { status: IcStatus.fail });
      assert.throws(
        () => answered(body(), { status: 0, sequence: 1n }),
        refuses('value', 'heartbeat'),
      );
      assert.throws(
        () => answered(body(), { status: 0, applicationState: 'healthy' }),
        refuses('value', 'heartbeat'),
      );
    },
  );

  test('what is answered is what the host reads, for any sequence, state and length', () => {
    const arbitrary = fc.record({
      sequence: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
      state: fc.constantFrom('unknown', 'healthy', 'critical', 'stopped'),
      length: fc.integer({ min: 12, max: 64 }),
    });
    fc.assert(
      fc.property(arbitrary, ({ sequence, state, length }) => {
        const bytes = new Uint8Array(length);
        const reply = { status: 0, sequence, applicationState: state } as const;
        ic.encodeReply(bytes, V3, beat, reply);
        assert.deepEqual(ic.decodeReply(bytes, V3, beat, 0), reply);
        assert.deepEqual(ic.decodeRequest(bytes, V3), { sequence });
      }),
    );
  });

  test('any bytes are a beat or truncated, nothing else', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        if (bytes.length >= 8) assert.equal(typeof ic.decodeRequest(bytes, V3).sequence, 'bigint');
        else assert.throws(() => ic.decodeRequest(bytes, V3), failsAs('truncated'));
      }),
    );
  });
});

describe('the recorded answers of hv_utils', () => {
  const answer =
    (applicationState: 'unknown' | 'healthy') =>
    ({ sequence }: { sequence: bigint }) => ({
      status: IcStatus.ok,
      sequence: sequence + 1n,
      applicationState,
    });

  for (const [file, beats] of [
    ['heartbeat/beats.trace', 5],
    ['heartbeat/negotiate-1.0.trace', 1],
  ] as const) {
    test(`${file}: ours are the same, byte for byte, while the state is unknown`, () => {
      const recorded = replay(file, heartbeatProtocol, answer('unknown'));
      assert.equal(recorded.length, beats);
      for (const { note, ours, kernel } of recorded) assert.equal(ours, kernel, note);
    });
  }

  test('a known state is the one difference: byte 36 of the payload', () => {
    for (const { ours, kernel } of replay(
      'heartbeat/beats.trace',
      heartbeatProtocol,
      answer('healthy'),
    )) {
      assert.equal(ours, `${kernel.slice(0, 72)}01${kernel.slice(74)}`);
    }
    for (const { ours, kernel } of replay(
      'heartbeat/negotiate-1.0.trace',
      heartbeatProtocol,
      answer('healthy'),
    )) {
      assert.equal(ours, kernel, 'version 1.0 has no state');
    }
  });
});
