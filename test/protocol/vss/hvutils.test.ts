import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { IcStatus } from '../../../protocol/ic/status.ts';
import { DecodeError } from '../../../protocol/layout/index.ts';
import { vssHvUtils } from '../../../protocol/vss/hvutils.ts';
import type { VssRequest } from '../../../protocol/vss/types.ts';
import { failsAs, hex, message, testVectors } from '../vector.ts';

const LENGTH = 12;

describe('registration', () => {
  test('names operation 129 and nothing else', () => {
    assert.equal(hex(vssHvUtils.encodeRegistration()), '81'.padEnd(24, '0'));
  });
  test("the kernel's answer is its version, in 4 bytes", () => {
    const answer = message(4, { 0: '81000000' });
    assert.equal(vssHvUtils.registrationAnswerBytes, answer.length);
    assert.equal(vssHvUtils.decodeRegistration(answer), '129');
    assert.equal(hex(vssHvUtils.encodeRegistrationAnswer('129')), hex(answer));
    for (const length of [0, 3, 5, LENGTH]) {
      assert.equal(
        vssHvUtils.decodeRegistration(new Uint8Array(length)),
        undefined,
        `${length} bytes`,
      );
    }
  });
});

describe('VSS requests of hv_utils', () => {
  testVectors(vssHvUtils.decodeRequest, vssHvUtils.encodeRequest, [
    {
      name: 'check hot backup',
      bytes: message(LENGTH, { 0: '02' }),
      value: { operation: 'checkHotBackup', flags: 0 },
    },
    {
      name: 'freeze',
      bytes: message(LENGTH, { 0: '05' }),
      value: { operation: 'freeze', backupType: 0 },
    },
    { name: 'thaw', bytes: message(LENGTH, { 0: '06' }), value: { operation: 'thaw', flags: 0 } },
    {
      name: 'an unknown operation, and flags no kernel passes on',
      bytes: message(LENGTH, { 0: '63', 8: '04030201' }),
      value: { operation: 'unknown', operationCode: 99, flags: 0x01020304 },
    },
  ]);

  test('the disks of a backup do not fit in', () => {
    const disks = { flags: 1, lunCount: 1, luns: new Uint8Array(24) };
    const sent = vssHvUtils.encodeRequest({ operation: 'freeze', backupType: 0, disks });
    assert.equal(hex(sent), '05'.padEnd(24, '0'));
  });

  test('a message has one length', () => {
    assert.throws(
      () => vssHvUtils.decodeRequest(new Uint8Array(13)),
      failsAs('size', 'vss', 'vss at offset 12: expected 12 bytes, got 13'),
    );
    assert.throws(
      () => vssHvUtils.decodeReply(new Uint8Array(11), { operation: 'thaw', flags: 0 }),
      failsAs('truncated', 'vss', 'vss at offset 11: expected 12 bytes, got 11'),
    );
  });

  test('the kernel awaits a freeze for a quarter of an hour, all else for half a minute', () => {
    assert.equal(vssHvUtils.timeoutSecs?.({ operation: 'freeze', backupType: 0 }), 900);
    assert.equal(vssHvUtils.timeoutSecs?.({ operation: 'thaw', flags: 0 }), 30);
    assert.equal(vssHvUtils.timeoutSecs?.({ operation: 'checkHotBackup', flags: 0 }), 30);
  });

  test('any bytes are a request or a DecodeError', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.uint8Array({ maxLength: 40 }), fc.uint8Array({ minLength: 12, maxLength: 12 })),
        (bytes) => {
          if (bytes.length === LENGTH)
            assert.equal(typeof vssHvUtils.decodeRequest(bytes).operation, 'string');
          else assert.throws(() => vssHvUtils.decodeRequest(bytes), DecodeError);
        },
      ),
    );
  });
});

describe('VSS replies to hv_utils', () => {
  test('a status, and nothing else', () => {
    const requests: (VssRequest | undefined)[] = [
      { operation: 'checkHotBackup', flags: 0 },
      { operation: 'freeze', backupType: 0 },
      undefined,
    ];
    for (const request of requests) {
      for (const [status, expected] of [
        [IcStatus.ok, '00000000'],
        [IcStatus.fail, '05400080'],
        [IcStatus.notSupported, '32000780'],
      ] as const) {
        const bytes = new Uint8Array(LENGTH).fill(0xee);
        vssHvUtils.encodeReply(bytes, request, { status, flags: 5 });
        assert.equal(hex(bytes), `${expected}${'ee'.repeat(8)}`);
        assert.deepEqual(vssHvUtils.decodeReply(bytes, { operation: 'thaw', flags: 0 }), {
          status,
        });
      }
    }
  });

  test('no status of ours can be taken for a registration', () => {
    for (const status of Object.values(IcStatus))
      assert.ok(![128, 129].includes(status & 0xff), status.toString(16));
  });
});
