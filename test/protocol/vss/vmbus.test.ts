import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { IcStatus } from '../../../protocol/ic/status.ts';
import { version } from '../../../protocol/ic/version.ts';
import { DecodeError } from '../../../protocol/layout/index.ts';
import {
  NO_AUTO_RECOVERY,
  VSS_OPERATIONS,
  type VssDisks,
  type VssReply,
  type VssRequest,
} from '../../../protocol/vss/types.ts';
import { vssProtocol } from '../../../protocol/vss/vmbus.ts';
import { replay } from '../exchanges.ts';
import { failsAs, hex, message, refuses, testVectors } from '../vector.ts';

const { ic } = vssProtocol;
const V5 = version(5, 0);
const decode = (bytes: Uint8Array): VssRequest => ic.decodeRequest(bytes, V5);
const encode = (request: VssRequest): Uint8Array => ic.encodeRequest(request, V5);

const LUNS = 260 * 24;
/**
 * Sizes that the kernel's header names for a freeze and an auto recover
 * (include/uapi/linux/hyperv.h).
 */
const FREEZE_BYTES = 6260;
const AUTO_RECOVER_BYTES = 12_500;

describe('VSS requests', () => {
  testVectors(decode, encode, [
    { name: 'create', bytes: message(12, { 0: '00' }), value: { operation: 'create', flags: 0 } },
    { name: 'delete', bytes: message(12, { 0: '01' }), value: { operation: 'delete', flags: 0 } },
    {
      name: 'check hot backup',
      bytes: message(12, { 0: '02', 8: '04030201' }),
      value: { operation: 'checkHotBackup', flags: 0x01020304 },
    },
    {
      name: 'direct-mapped devices info',
      bytes: message(12, { 0: '03' }),
      value: { operation: 'getDmInfo', flags: 0 },
    },
    {
      name: 'backup complete',
      bytes: message(12, { 0: '04' }),
      value: { operation: 'backupComplete', flags: 0 },
    },
    {
      name: 'freeze, as short as can be',
      bytes: message(12, { 0: '05' }),
      value: { operation: 'freeze', backupType: 0 },
    },
    {
      name: 'thaw',
      bytes: message(12, { 0: '06', 8: 'ffffffff' }),
      value: { operation: 'thaw', flags: 0xffff_ffff },
    },
    {
      name: 'query cluster information',
      bytes: message(12, { 0: '08' }),
      value: { operation: 'queryClusterInfo', flags: 0 },
    },
    {
      name: 'an unknown operation',
      bytes: message(12, { 0: 'ff', 8: '01' }),
      value: { operation: 'unknown', operationCode: 255, flags: 1 },
    },
  ]);

  // Not by every prefix: one of them is the short form
  const disk = `02 000000 ${'a1'.repeat(16)} 01 02 03 00`;
  test('freeze of two disks, as long as hosts send it', () => {
    const bytes = message(FREEZE_BYTES, {
      0: '05',
      8: '01000000 02000000 02000000',
      20: `${disk} ${disk}`,
    });
    const luns = message(LUNS, { 0: `${disk} ${disk}` });
    const value: VssRequest = {
      operation: 'freeze',
      backupType: 1,
      disks: { flags: 2, lunCount: 2, luns },
    };
    assert.deepEqual(decode(bytes), value);
    assert.equal(hex(encode(value)), hex(bytes));
  });

  test('auto recover with the disks of both', () => {
    const bytes = message(AUTO_RECOVER_BYTES, {
      0: '07',
      8: '00000000 00000000 04010000',
      12476: disk,
    });
    const luns = message(2 * LUNS, { [2 * LUNS - 24]: disk });
    const value: VssRequest = {
      operation: 'autoRecover',
      backupType: 0,
      disks: { flags: 0, lunCount: 260, luns },
    };
    assert.deepEqual(decode(bytes), value);
    assert.equal(hex(encode(value)), hex(bytes));
  });

  test('disks are copied: the buffer they came in is used again', () => {
    const bytes = message(44, { 0: '05', 16: '01', 20: disk });
    const { disks } = decode(bytes) as { disks: VssDisks };
    bytes.fill(0);
    assert.equal(hex(disks.luns), disk.replaceAll(' ', ''));
  });

  test('lengths that cannot be', () => {
    const freeze = (length: number, lunCount = '00000000') =>
      message(length, { 0: '05', 16: lunCount }).slice(0, length);
    const cases: [string, Uint8Array, Parameters<typeof failsAs>][] = [
      ['nothing', new Uint8Array(0), ['truncated', 'vss.operation']],
      [
        'no flags',
        new Uint8Array(11),
        ['truncated', 'vss.flags', 'vss.flags at offset 8: expected 4 bytes, got 3'],
      ],
      ['between short and long', message(13, { 0: '05' }), ['truncated', 'vss.flags']],
      ['without its count', message(19, { 0: '05' }), ['truncated', 'vss.lunCount']],
      ['fewer disks than it says', freeze(20 + 47, '02000000'), ['truncated', 'vss.luns']],
      [
        'more disks than there can be',
        freeze(FREEZE_BYTES, '05010000'),
        ['count', 'vss.lunCount', 'vss.lunCount at offset 16: expected at most 260, got 261'],
      ],
      ['a count that wraps', freeze(FREEZE_BYTES, 'ffffffff'), ['count', 'vss.lunCount']],
      [
        'longer than any',
        freeze(FREEZE_BYTES + 1),
        ['size', 'vss.luns', 'vss.luns at offset 20: expected at most 6240 bytes, got 6241'],
      ],
      ['a longer auto recover', message(AUTO_RECOVER_BYTES + 1, { 0: '07' }), ['size', 'vss.luns']],
    ];
    for (const [name, bytes, expected] of cases)
      assert.throws(() => decode(bytes), failsAs(...expected), name);
    assert.ok(decode(freeze(FREEZE_BYTES)));
    assert.ok(decode(message(AUTO_RECOVER_BYTES, { 0: '07' })));
  });

  test('what follows the 12 bytes of other operations is not looked at', () => {
    assert.deepEqual(decode(message(64, { 0: '06', 12: 'ff'.repeat(52) })), {
      operation: 'thaw',
      flags: 0,
    });
  });

  test('disks that do not fit are refused by the encoder', () => {
    const freeze = (lunCount: number, length: number) =>
      encode({
        operation: 'freeze',
        backupType: 0,
        disks: { flags: 0, lunCount, luns: new Uint8Array(length) },
      });
    assert.throws(() => freeze(2, 47), refuses('size', 'vss.luns'));
    assert.throws(() => freeze(0, LUNS + 1), refuses('size', 'vss.luns'));
    assert.throws(() => freeze(261, LUNS), refuses('count', 'vss.lunCount'));
  });
});

describe('answers', () => {
  const answered = (request: VssRequest, reply: VssReply): string => {
    const body = encode(request).fill(0xee);
    ic.encodeReply(body, V5, request, reply);
    return hex(body);
  };
  const untouched = (length: number): string => 'ee'.repeat(length);

  test('check hot backup and devices info carry flags where the request has them', () => {
    for (const [operation, flags, expected] of [
      ['checkHotBackup', NO_AUTO_RECOVERY, '05000000'],
      ['getDmInfo', 0, '00000000'],
    ] as const) {
      const request: VssRequest = { operation, flags: 0 };
      const bytes = answered(request, { status: IcStatus.ok, flags });
      assert.equal(bytes, untouched(8) + expected);
      assert.deepEqual(ic.decodeReply(Buffer.from(bytes, 'hex'), V5, request, IcStatus.ok), {
        status: 0,
        flags,
      });
      assert.throws(() => answered(request, { status: IcStatus.ok }), refuses('value', 'vss'));
      assert.equal(answered(request, { status: IcStatus.fail }), untouched(12));
      assert.deepEqual(ic.decodeReply(new Uint8Array(12), V5, request, IcStatus.fail), {
        status: IcStatus.fail,
      });
    }
  });

  test('all others are a status alone', () => {
    const disks = { flags: 1, lunCount: 1, luns: new Uint8Array(24) };
    for (const request of [
      { operation: 'freeze', backupType: 1 },
      { operation: 'thaw', flags: 1 },
      { operation: 'backupComplete', flags: 1 },
      { operation: 'autoRecover', backupType: 1, disks },
      { operation: 'unknown', operationCode: 77, flags: 1 },
    ] satisfies VssRequest[]) {
      const body = encode(request);
      assert.equal(answered(request, { status: IcStatus.ok, flags: 9 }), untouched(body.length));
      assert.deepEqual(ic.decodeReply(body, V5, request, IcStatus.ok), { status: IcStatus.ok });
    }
  });
});

describe('any request and any bytes', () => {
  const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
  const disksFor = (lists: number): fc.Arbitrary<VssDisks> =>
    fc.nat(260).chain((lunCount) =>
      fc.record(
        {
          flags: u32,
          lunCount: fc.constant(lunCount),
          luns: fc.uint8Array({ minLength: lunCount * 24, maxLength: lists * LUNS }),
        },
        { noNullPrototype: true },
      ),
    );
  const backup = (operation: 'freeze' | 'autoRecover', lists: number) =>
    fc.record(
      { operation: fc.constant(operation), backupType: u32, disks: disksFor(lists) },
      { noNullPrototype: true, requiredKeys: ['operation', 'backupType'] },
    );
  const plain = Object.keys(VSS_OPERATIONS).filter(
    (name) => name !== 'freeze' && name !== 'autoRecover',
  );
  const requests = fc.oneof(
    fc.record({ operation: fc.constantFrom(...plain), flags: u32 }, { noNullPrototype: true }),
    backup('freeze', 1),
    backup('autoRecover', 2),
    fc.record(
      {
        operation: fc.constant('unknown'),
        operationCode: fc.integer({ min: 9, max: 255 }),
        flags: u32,
      },
      { noNullPrototype: true },
    ),
  ) as fc.Arbitrary<VssRequest>;

  test('what is sent is what is read, in every version', () => {
    fc.assert(
      fc.property(requests, fc.constantFrom(V5, ...vssProtocol.optionalVersions), (request, v) => {
        assert.deepEqual(ic.decodeRequest(ic.encodeRequest(request, v), v), request);
      }),
    );
  });

  test('bytes are a request that can be answered in place, or a DecodeError', () => {
    let decoded = 0;
    let refused = 0;
    const bytesOf = fc.tuple(
      fc.uint8Array({ maxLength: 64 }),
      fc.constantFrom(0, 1, 5, 7),
      fc.constantFrom(0, 6200, 12_440),
    );
    fc.assert(
      fc.property(bytesOf, ([start, operation, more]) => {
        const bytes = new Uint8Array(start.length + more);
        bytes.set(start);
        if (bytes.length > 0 && operation > 1) bytes[0] = operation;
        const before = hex(bytes);
        try {
          const request = decode(bytes);
          assert.equal(hex(bytes), before, 'decoding writes nothing');
          ic.encodeReply(bytes, V5, request, { status: IcStatus.ok, flags: 0 });
          ic.decodeReply(bytes, V5, request, IcStatus.ok);
          decoded++;
        } catch (error) {
          assert.ok(error instanceof DecodeError, `${error}`);
          refused++;
        }
      }),
      { numRuns: 2000 },
    );
    assert.ok(decoded > 100 && refused > 100, `${decoded} decoded, ${refused} refused`);
  });
});

describe('the recorded answers of hv_utils', () => {
  const ok = (): VssReply => ({ status: IcStatus.ok, flags: 0 });
  for (const [file, operations] of [
    ['vss/negotiate.trace', []],
    ['vss/hot-backup.trace', ['checkHotBackup']],
    ['vss/dm-info.trace', ['getDmInfo']],
    ['vss/freeze-thaw.trace', ['checkHotBackup', 'freeze', 'thaw']],
    ['vss/thaw-alone.trace', ['thaw']],
    ['vss/unknown-operation.trace', ['unknown']],
  ] as const) {
    test(`${file}: the same answers are the same bytes`, () => {
      const recorded = replay(file, vssProtocol, ok);
      assert.deepEqual(
        recorded.map(({ request }) => request.operation),
        operations,
      );
      for (const { note, ours, kernel } of recorded) assert.equal(ours, kernel, note);
    });
  }

  test(
    'hot backup: the flags that hv_utils means to set and does not are the one ' + 'difference',
    () => {
      const [check] = replay('vss/hot-backup.trace', vssProtocol, () => ({
        status: 0,
        flags: NO_AUTO_RECOVERY,
      }));
      const { ours, kernel } = check!;
      assert.equal(ours, `${kernel.slice(0, 72)}05${kernel.slice(74)}`);
    },
  );

  test('unknown operations: a failure changes the status alone', () => {
    const [unknown] = replay('vss/unknown-operation.trace', vssProtocol, () => ({
      status: IcStatus.notSupported,
    }));
    const { ours, kernel } = unknown!;
    assert.equal(ours, `${kernel.slice(0, 40)}32000780${kernel.slice(48)}`);
  });
});
