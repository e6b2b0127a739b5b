import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { IcStatus } from '../../../protocol/ic/status.ts';
import { type Version, version } from '../../../protocol/ic/version.ts';
import { DecodeError } from '../../../protocol/layout/index.ts';
import {
  type TimesyncRequest,
  timesyncProtocol,
  UNIX_EPOCH_100NS,
} from '../../../protocol/timesync/vmbus.ts';
import { failsAs, hex, message, refuses, testVectors } from '../vector.ts';

const { ic } = timesyncProtocol;
const V1 = version(1, 0);
const V3 = version(3, 0);
const V4 = version(4, 0);

const decode = (v: Version) => (bytes: Uint8Array) => ic.decodeRequest(bytes, v);
const encode = (v: Version) => (request: TimesyncRequest) => ic.encodeRequest(request, v);

describe('timesync 4.0', () => {
  testVectors(decode(V4), encode(V4), [
    {
      name: 'a sync, as recorded in the rig',
      bytes: message(24, { 0: 'b336a4633078e201', 8: 'a3247c0b00000000', 16: '01' }),
      value: {
        hostTime100ns: 0x01e2_7830_63a4_36b3n,
        referenceTime100ns: 0x0b7c_24a3n,
        flags: { sync: true, sample: false, unknown: 0 },
        leapFlags: 0,
        stratum: 0,
      },
      neededBytes: 19,
    },
    {
      name: 'highest times, both flags and one that nobody knows, leap flags and stratum',
      bytes: message(24, { 0: 'ffffffffffffffff', 8: 'feffffffffffffff', 16: '83 03 0f' }),
      value: {
        hostTime100ns: 2n ** 64n - 1n,
        referenceTime100ns: 2n ** 64n - 2n,
        flags: { sync: true, sample: true, unknown: 0x80 },
        leapFlags: 3,
        stratum: 15,
      },
      neededBytes: 19,
    },
  ]);
});

for (const v of [V3, V1]) {
  describe(`timesync ${v.major}.0`, () => {
    testVectors(decode(v), encode(v), [
      {
        name: 'a sample, as recorded in the rig',
        bytes: message(32, { 0: '5cadf0633078e201', 24: '02' }),
        value: {
          hostTime100ns: 0x01e2_7830_63f0_ad5cn,
          childTime100ns: 0n,
          roundTripTime100ns: 0n,
          flags: { sync: false, sample: true, unknown: 0 },
        },
        neededBytes: 25,
      },
      {
        name: 'all fields',
        bytes: message(32, {
          0: '0807060504030201',
          8: '1817161514131211',
          16: '2827262524232221',
          24: '41',
        }),
        value: {
          hostTime100ns: 0x0102_0304_0506_0708n,
          childTime100ns: 0x1112_1314_1516_1718n,
          roundTripTime100ns: 0x2122_2324_2526_2728n,
          flags: { sync: true, sample: false, unknown: 0x40 },
        },
        neededBytes: 25,
      },
    ]);
  });
}

test('errors name the field and its place', () => {
  assert.throws(
    () => ic.decodeRequest(new Uint8Array(12), V4),
    failsAs(
      'truncated',
      'timesync.referenceTime100ns',
      'timesync.referenceTime100ns at offset 8: expected 8 bytes, got 4',
    ),
  );
  const flags = { sync: true, sample: false, unknown: 0 };
  assert.throws(
    () => ic.encodeRequest({ hostTime100ns: -1n, flags }, V4),
    refuses(
      'value',
      'timesync.hostTime100ns',
      'timesync.hostTime100ns at offset 0: expected a whole number from 0 to 2^64-1, got -1',
    ),
  );
  assert.throws(
    () => ic.encodeRequest({ hostTime100ns: 0n, referenceTime100ns: 2n ** 64n, flags }, V4),
    refuses('value', 'timesync.referenceTime100ns'),
  );
});

test('the answer is the request, unchanged, whatever it says', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(V1, V3, V4),
      fc.uint8Array({ minLength: 25, maxLength: 64 }),
      (v, body) => {
        const answer = body.slice();
        const request = ic.decodeRequest(body, v);
        ic.encodeReply(answer, v, request, { status: IcStatus.ok });
        assert.equal(hex(answer), hex(body));
        assert.deepEqual(ic.decodeReply(answer, v, request, IcStatus.ok), { status: IcStatus.ok });
      },
    ),
  );
});

const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const u8 = fc.integer({ min: 0, max: 255 });

test('requests of any content survive a round trip', () => {
  const flags = u8.map((byte) => ({
    sync: (byte & 1) !== 0,
    sample: (byte & 2) !== 0,
    unknown: byte & 0xfc,
  }));
  fc.assert(
    fc.property(
      u64,
      u64,
      u64,
      flags,
      u8,
      u8,
      (hostTime100ns, second, third, f, leapFlags, stratum) => {
        const v4 = { hostTime100ns, referenceTime100ns: second, flags: f, leapFlags, stratum };
        assert.deepEqual(decode(V4)(encode(V4)(v4)), v4);
        const v3 = { hostTime100ns, childTime100ns: second, roundTripTime100ns: third, flags: f };
        assert.deepEqual(decode(V3)(encode(V3)(v3)), v3);
      },
    ),
  );
});

test(
  'arbitrary bytes decode, or fail as truncated; what they decode to encodes to the same ' +
    'bytes',
  () => {
    fc.assert(
      fc.property(fc.constantFrom(V1, V3, V4), fc.uint8Array({ maxLength: 40 }), (v, body) => {
        const needed = v === V4 ? 19 : 25;
        let request: TimesyncRequest;
        try {
          request = ic.decodeRequest(body, v);
        } catch (error) {
          assert.ok(error instanceof DecodeError && error.code === 'truncated', String(error));
          assert.ok(body.length < needed);
          return;
        }
        assert.ok(body.length >= needed);
        assert.equal(
          hex(ic.encodeRequest(request, v).subarray(0, needed)),
          hex(body.subarray(0, needed)),
        );
      }),
    );
  },
);

test('the service, as hosts know it', () => {
  assert.equal(timesyncProtocol.classId, '9527e630-d0ae-497b-adce-e80ab0175caf');
  assert.equal(timesyncProtocol.messageType, 4);
  assert.deepEqual(timesyncProtocol.messageVersions, [V4, V3, V1]);
  // 1970-01-01 by the calendar: 369 years, 89 of them leap years
  assert.equal(UNIX_EPOCH_100NS, BigInt(369 * 365 + 89) * 86_400n * 10_000_000n);
});
