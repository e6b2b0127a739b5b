import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { version } from '../../../protocol/ic/version.ts';
import type { KvpRequest } from '../../../protocol/kvp/types.ts';
import { failsAs, hex, message, refuses } from '../vector.ts';
import { ic, KEY, LENGTH, testRequests, V4, VALUE } from './messages.ts';

describe('KVP requests over VMBus', () => {
  testRequests(V4, [
    {
      name: 'get',
      bytes: message(LENGTH, { 0: '00 00 0000 01000000 06000000 00000000', 16: KEY }),
      value: { operation: 'get', pool: 0, key: 'ké' },
      neededBytes: 2576,
    },
    {
      name: 'set a string',
      bytes: message(LENGTH, { 0: '01 01 0000 01000000 06000000 06000000', 16: KEY, 528: VALUE }),
      value: { operation: 'set', pool: 1, key: 'ké', value: { type: 'string', text: 'v€' } },
      neededBytes: 2576,
    },
    {
      name: 'set an expandable string',
      bytes: message(LENGTH, { 0: '01 01 0000 02000000 06000000 06000000', 16: KEY, 528: VALUE }),
      value: { operation: 'set', pool: 1, key: 'ké', value: { type: 'expandString', text: 'v€' } },
      neededBytes: 2576,
    },
    {
      name: 'set a u32',
      bytes: message(LENGTH, {
        0: '01 00 0000 04000000 06000000 04000000',
        16: KEY,
        528: '78563412',
      }),
      value: { operation: 'set', pool: 0, key: 'ké', value: { type: 'u32', value: 0x12345678 } },
      neededBytes: 2576,
    },
    {
      name: 'set a u64, which hosts number 11',
      bytes: message(LENGTH, {
        0: '01 00 0000 0b000000 06000000 08000000',
        16: KEY,
        528: 'ffeeddccbbaa9988',
      }),
      value: {
        operation: 'set',
        pool: 0,
        key: 'ké',
        value: { type: 'u64', value: 0x8899aabbccddeeffn },
      },
      neededBytes: 2576,
    },
    {
      name: 'set a value of a type nobody knows',
      bytes: message(LENGTH, {
        0: '01 00 0000 4d000000 06000000 03000000',
        16: KEY,
        528: 'aabbcc',
      }),
      value: {
        operation: 'set',
        pool: 0,
        key: 'ké',
        value: { type: 'unknown', typeCode: 77, bytes: Uint8Array.of(0xaa, 0xbb, 0xcc) },
      },
      neededBytes: 2576,
    },
    {
      name: 'delete, in a pool that does not exist',
      bytes: message(LENGTH, { 0: '02 09 0000 06000000', 8: KEY }),
      value: { operation: 'delete', pool: 9, key: 'ké' },
      neededBytes: 520,
    },
    {
      name: 'enumerate, with an index no list has',
      bytes: message(LENGTH, { 0: '03 02 0000 ffffffff' }),
      value: { operation: 'enumerate', pool: 2, index: 0xffff_ffff },
      neededBytes: 2580,
    },
    {
      name: 'get IP info',
      // "00:1"; the family behind 128 UTF-16 units
      bytes: message(LENGTH, { 0: '04 00', 2: '3000 3000 3a00 3100', 258: '03' }),
      value: { operation: 'getIpInfo', pool: 0, adapterId: '00:1', addressFamily: 3 },
      neededBytes: 7428,
    },
    {
      name: 'set IP info',
      bytes: message(LENGTH, {
        0: '05 00',
        2: '7b00 7d00',
        258: '03 01',
        260: '3100 2e00 3200 3b00 3a00 3a00',
        2308: '3200 3b00 2f00 3600',
        4356: '3300',
        5380: '3400 3b00 3500',
      }),
      value: {
        operation: 'setIpInfo',
        pool: 0,
        ipInfo: {
          adapterId: '{}',
          addressFamily: 3,
          dhcpEnabled: true,
          addresses: ['1.2', '::'],
          subnets: ['2', '/6'],
          gateways: ['3'],
          dnsServers: ['4', '5'],
        },
      },
      neededBytes: 7428,
    },
    {
      name: 'an unknown operation',
      bytes: message(LENGTH, { 0: '63 04' }),
      value: { operation: 'unknown', pool: 4, operationCode: 99 },
      neededBytes: 2,
    },
  ]);

  test('the longest key and value fit, one unit more is refused', () => {
    const request = (keyUnits: number, valueUnits: number): KvpRequest => ({
      operation: 'set',
      pool: 0,
      key: 'k'.repeat(keyUnits),
      value: { type: 'string', text: 'v'.repeat(valueUnits) },
    });
    const bytes = message(LENGTH, {
      0: '01 00 0000 01000000 00020000 00080000',
      16: '6b00'.repeat(255),
      528: '7600'.repeat(1023),
    });
    assert.equal(hex(ic.encodeRequest(request(255, 1023), V4)), hex(bytes));
    assert.deepEqual(ic.decodeRequest(bytes, V4), request(255, 1023));
    assert.throws(
      () => ic.encodeRequest(request(256, 1), V4),
      refuses('tooLong', 'kvp.record.key'),
    );
    assert.throws(
      () => ic.encodeRequest(request(1, 1024), V4),
      refuses('tooLong', 'kvp.record.value'),
    );
    const tooLong = { type: 'unknown', typeCode: 3, bytes: new Uint8Array(2049) } as const;
    assert.throws(
      () => ic.encodeRequest({ operation: 'set', pool: 0, key: 'k', value: tooLong }, V4),
      refuses('tooLong', 'kvp.record.value'),
    );
  });

  test("Linux's number for u64 is taken as u64 when it has 8 bytes", () => {
    const bytes = (size: string) =>
      message(LENGTH, { 0: `01 00 0000 08000000 06000000 ${size}`, 16: KEY, 528: '0700' });
    const value = (request: KvpRequest) => request.operation === 'set' && request.value;
    assert.deepEqual(value(ic.decodeRequest(bytes('08000000'), V4)), { type: 'u64', value: 7n });
    assert.deepEqual(value(ic.decodeRequest(bytes('02000000'), V4)), {
      type: 'unknown',
      typeCode: 8,
      bytes: Uint8Array.of(7, 0),
    });
  });

  test('sizes that cannot be, text that is none', () => {
    const cases: [string, Record<number, string>, Parameters<typeof failsAs>][] = [
      [
        'key size beyond its field',
        { 8: '02020000' },
        [
          'size',
          'kvp.record.key',
          'kvp.record.key at offset 16: expected a size of at most 512, got 514',
        ],
      ],
      ['key size of 4 GiB', { 8: 'ffffffff' }, ['size', 'kvp.record.key']],
      ['odd key size', { 8: '05000000' }, ['size', 'kvp.record.key']],
      ['key size 0', { 8: '00000000' }, ['unterminated', 'kvp.record.key']],
      ['key without NUL', { 8: '04000000' }, ['unterminated', 'kvp.record.key']],
      ['key with a lone surrogate', { 16: '00d8' }, ['text', 'kvp.record.key']],
      [
        'value size beyond its field',
        { 12: '02080000' },
        [
          'size',
          'kvp.record.value',
          'kvp.record.value at offset 528: expected a size of at most 2048, got 2050',
        ],
      ],
      ['odd value size', { 12: '05000000' }, ['size', 'kvp.record.value']],
      ['value without NUL', { 12: '04000000' }, ['unterminated', 'kvp.record.value']],
      [
        'u32 of 6 bytes',
        { 4: '04000000' },
        [
          'size',
          'kvp.record.value',
          'kvp.record.value at offset 528: expected a size of 4 (u32), got 6',
        ],
      ],
      [
        'u64 of 6 bytes',
        { 4: '0b000000' },
        [
          'size',
          'kvp.record.value',
          'kvp.record.value at offset 528: expected a size of 8 (u64), got 6',
        ],
      ],
      [
        'unknown type beyond its field',
        { 4: '4d000000', 12: '01080000' },
        ['size', 'kvp.record.value'],
      ],
    ];
    for (const [name, parts, expected] of cases) {
      const bytes = message(LENGTH, {
        0: '01 00 0000 01000000 06000000 06000000',
        16: KEY,
        528: VALUE,
      });
      for (const [at, part] of Object.entries(parts))
        bytes.set(Buffer.from(part, 'hex'), Number(at));
      assert.throws(() => ic.decodeRequest(bytes, V4), failsAs(...expected), name);
    }
    const unterminated = message(LENGTH, { 0: '05 00', 260: '3100'.repeat(1024) });
    assert.throws(
      () => ic.decodeRequest(unterminated, V4),
      failsAs('unterminated', 'kvp.ipInfo.addresses'),
    );
  });

  test('lists in one text', () => {
    const addresses = (units: string): readonly string[] => {
      const request = ic.decodeRequest(message(LENGTH, { 0: '05 00', 260: units }), V4);
      assert.equal(request.operation, 'setIpInfo');
      return request.ipInfo.addresses;
    };
    const [a, b, semicolon] = ['6100', '6200', '3b00'];
    assert.deepEqual(addresses(''), []);
    assert.deepEqual(addresses(`${a}${semicolon}`), ['a'], 'one at the end is no further entry');
    assert.deepEqual(
      addresses(`${a}${semicolon}${semicolon}${b}`),
      ['a', '', 'b'],
      'an empty entry keeps its place',
    );
    const info = (list: string[]): KvpRequest => ({
      operation: 'setIpInfo',
      pool: 0,
      ipInfo: {
        adapterId: '',
        addressFamily: 0,
        dhcpEnabled: false,
        addresses: list,
        subnets: [],
        gateways: [],
        dnsServers: [],
      },
    });
    for (const list of [[], [''], ['a', ''], ['', ''], ['', 'a']]) {
      assert.deepEqual(ic.decodeRequest(ic.encodeRequest(info(list), V4), V4), info(list));
    }
    assert.throws(
      () => ic.encodeRequest(info(['a;b']), V4),
      refuses('value', 'kvp.ipInfo.addresses'),
    );
    assert.throws(
      () => ic.encodeRequest(info(new Array(200).fill('fe80::1')), V4),
      refuses('tooLong', 'kvp.ipInfo.addresses'),
    );
  });
});

test('versions 1.0, 3.0 and 4.0 have the same bodies', () => {
  const request: KvpRequest = { operation: 'getIpInfo', pool: 0, adapterId: 'x', addressFamily: 1 };
  for (const other of [version(1, 0), version(3, 0)]) {
    assert.equal(hex(ic.encodeRequest(request, other)), hex(ic.encodeRequest(request, V4)));
  }
});
