import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { IcStatus } from '../../../protocol/ic/status.ts';
import { version } from '../../../protocol/ic/version.ts';
import type { KvpIpInfo, KvpReply, KvpRequest } from '../../../protocol/kvp/types.ts';
import { kvpProtocol } from '../../../protocol/kvp/vmbus.ts';
import { failsAs, hex, message, refuses, testVectors, type Vector } from '../vector.ts';

const { ic } = kvpProtocol;
const V4 = version(4, 0);
const V5 = version(5, 0);
const LENGTH = 7432;

const testRequests = (messageVersion: typeof V4, vectors: readonly Vector<KvpRequest>[]): void =>
  testVectors(
    (bytes) => ic.decodeRequest(bytes, messageVersion),
    (value) => ic.encodeRequest(value, messageVersion),
    vectors,
  );

// "ké" and "v€", UTF-16
const KEY = '6b00 e900';
const VALUE = '7600 ac20';

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

/** Two addresses of each family; every field differs from its neighbours. */
const BINARY: KvpIpInfo = {
  adapterId: '{a}',
  addressFamily: 3,
  dhcpEnabled: true,
  addresses: ['192.0.2.1', '192.0.2.2', '2001:db8::1'],
  addressOrigins: [1, 2, 9],
  subnets: ['255.255.255.0', '255.0.0.0', '/64'],
  gateways: ['192.0.2.254', 'fe80::1'],
  dnsServers: ['192.0.2.53', '2001:db8::53', '2001:db8::54'],
};
const BINARY_PARTS = {
  4: '02000000 01000000 01000000 01000000 01000000 02000000',
  28: '7b00 6100 7d00',
  284: '03 01 0000',
  288: 'c0000201 c0000202',
  544: '20010db8000000000000000000000001',
  1568: 'ffffff00 ff000000',
  1824: '40000000',
  2080: 'c00002fe',
  2100: 'fe800000000000000000000000000001',
  2180: 'c0000235',
  2436: '20010db8000000000000000000000053 20010db8000000000000000000000054',
  3460: '0100 0200 0900',
} as const;

describe('KVP 5.0: IP info in binary', () => {
  testRequests(V5, [
    {
      name: 'get IP info',
      bytes: message(LENGTH, { 0: '04 01', 28: '3000 3000 3a00 3100', 284: '02' }),
      value: { operation: 'getIpInfo', pool: 1, adapterId: '00:1', addressFamily: 2 },
      neededBytes: 3716,
    },
    {
      name: 'set IP info',
      bytes: message(LENGTH, { 0: '05 01', ...BINARY_PARTS }),
      value: { operation: 'setIpInfo', pool: 1, ipInfo: BINARY },
      neededBytes: 3716,
    },
    {
      name: 'other operations are as before',
      bytes: message(LENGTH, { 0: '03 02 0000 07000000' }),
      value: { operation: 'enumerate', pool: 2, index: 7 },
      neededBytes: 2580,
    },
  ]);

  test('reply', () => {
    const request = {
      operation: 'getIpInfo',
      pool: 1,
      adapterId: '00:1',
      addressFamily: 3,
    } as const;
    const body = ic.encodeRequest(request, V5);
    ic.encodeReply(body, V5, request, { status: IcStatus.ok, ipInfo: BINARY });
    assert.equal(hex(body), hex(message(LENGTH, { 0: '04 01', ...BINARY_PARTS })));
    assert.deepEqual(ic.decodeReply(body, V5, request, IcStatus.ok), {
      status: IcStatus.ok,
      ipInfo: BINARY,
    });
  });

  test('counts beyond their arrays, and prefixes beyond an address', () => {
    const cases: [Record<number, string>, Parameters<typeof failsAs>][] = [
      [
        { 4: '41000000' },
        [
          'count',
          'kvp.ipInfo.ipv4AddressCount',
          'kvp.ipInfo.ipv4AddressCount at offset 4: expected at most 64, got 65',
        ],
      ],
      [{ 8: 'ffffffff' }, ['count', 'kvp.ipInfo.ipv6AddressCount']],
      [{ 12: '06000000' }, ['count', 'kvp.ipInfo.ipv4GatewayCount']],
      [{ 16: '06000000' }, ['count', 'kvp.ipInfo.ipv6GatewayCount']],
      [{ 20: '41000000' }, ['count', 'kvp.ipInfo.ipv4DnsServerCount']],
      [{ 24: '41000000' }, ['count', 'kvp.ipInfo.ipv6DnsServerCount']],
      [{ 1824: '81000000' }, ['value', 'kvp.ipInfo.ipv6Subnets[0]']],
    ];
    for (const [parts, expected] of cases) {
      assert.throws(
        () => ic.decodeRequest(message(LENGTH, { 0: '05 01', ...BINARY_PARTS, ...parts }), V5),
        failsAs(...expected),
      );
    }
    const full = message(LENGTH, {
      0: '05 01',
      4: '40000000 40000000 05000000 05000000 40000000 40000000',
    });
    const request = ic.decodeRequest(full, V5);
    assert.equal(request.operation, 'setIpInfo');
    assert.equal(request.ipInfo.addresses.length, 128);
    assert.equal(hex(ic.encodeRequest(request, V5)), hex(full));
  });

  test('what the binary form cannot carry is refused', () => {
    const set = (change: Partial<KvpIpInfo>) => () =>
      ic.encodeRequest({ operation: 'setIpInfo', pool: 1, ipInfo: { ...BINARY, ...change } }, V5);
    assert.throws(set({ subnets: ['255.0.0.0'] }), refuses('count', 'kvp.ipInfo.subnets'));
    assert.throws(set({ addressOrigins: [] }), refuses('count', 'kvp.ipInfo.addressOrigins'));
    assert.throws(
      set({ addresses: ['a', 'b', '::'] }),
      refuses('value', 'kvp.ipInfo.ipv4Addresses[0]'),
    );
    assert.throws(
      set({ subnets: ['255.0.0.0', '/8', '/64'] }),
      refuses('value', 'kvp.ipInfo.ipv4Subnets[1]'),
    );
    assert.throws(
      set({ subnets: ['255.0.0.0', '255.0.0.0', '64'] }),
      refuses('value', 'kvp.ipInfo.ipv6Subnets[0]'),
    );
    assert.throws(
      set({ gateways: new Array(6).fill('192.0.2.1') }),
      refuses('count', 'kvp.ipInfo.ipv4GatewayCount'),
    );
  });
});

describe('KVP replies over VMBus', () => {
  const get: KvpRequest = { operation: 'get', pool: 0, key: 'ké' };
  const enumerate: KvpRequest = { operation: 'enumerate', pool: 0, index: 5 };
  const getIpInfo: KvpRequest = {
    operation: 'getIpInfo',
    pool: 0,
    adapterId: '00:1',
    addressFamily: 3,
  };
  const cases: [string, KvpRequest, KvpReply, Uint8Array][] = [
    [
      'get: type, size and value; the key stays',
      get,
      { status: IcStatus.ok, value: { type: 'string', text: 'v€' } },
      message(LENGTH, { 0: '00 00 0000 01000000 06000000 06000000', 16: KEY, 528: VALUE }),
    ],
    [
      'get a u64',
      get,
      { status: IcStatus.ok, value: { type: 'u64', value: 1n } },
      message(LENGTH, { 0: '00 00 0000 0b000000 06000000 08000000', 16: KEY, 528: '01' }),
    ],
    [
      'enumerate: key and value behind the index',
      enumerate,
      { status: IcStatus.ok, key: 'ké', value: { type: 'string', text: 'v€' } },
      message(LENGTH, { 0: '03 00 0000 05000000 01000000 06000000 06000000', 20: KEY, 532: VALUE }),
    ],
    [
      'enumerate a u32',
      enumerate,
      { status: IcStatus.ok, key: '', value: { type: 'u32', value: 258 } },
      message(LENGTH, { 0: '03 00 0000 05000000 04000000 02000000 04000000', 532: '0201' }),
    ],
    [
      'get IP info',
      getIpInfo,
      {
        status: IcStatus.ok,
        ipInfo: {
          adapterId: '00:1',
          addressFamily: 1,
          dhcpEnabled: true,
          addresses: ['a', 'b'],
          subnets: ['c'],
          gateways: [],
          dnsServers: ['d'],
        },
      },
      message(LENGTH, {
        0: '04 00',
        2: '3000 3000 3a00 3100',
        258: '01 01',
        260: '6100 3b00 6200',
        2308: '6300',
        5380: '6400',
      }),
    ],
  ];
  for (const [name, request, reply, expected] of cases) {
    test(name, () => {
      const body = ic.encodeRequest(request, V4);
      ic.encodeReply(body, V4, request, reply);
      assert.equal(hex(body), hex(expected));
      assert.deepEqual(ic.decodeReply(body, V4, request, IcStatus.ok), reply);
    });
  }

  test('set, delete, set IP info and failures leave the body as it is', () => {
    const requests: KvpRequest[] = [
      { operation: 'set', pool: 0, key: 'k', value: { type: 'u32', value: 1 } },
      { operation: 'delete', pool: 0, key: 'k' },
      { operation: 'setIpInfo', pool: 0, ipInfo: { ...BINARY, addresses: [] } },
      { operation: 'unknown', pool: 0, operationCode: 9 },
    ];
    for (const request of requests) {
      const body = ic.encodeRequest(request, V4);
      const before = hex(body);
      ic.encodeReply(body, V4, request, { status: IcStatus.ok });
      assert.equal(hex(body), before, request.operation);
      assert.deepEqual(ic.decodeReply(body, V4, request, IcStatus.ok), { status: IcStatus.ok });
    }
    for (const request of [...requests, get, enumerate, getIpInfo]) {
      const body = ic.encodeRequest(request, V4);
      const before = hex(body);
      ic.encodeReply(body, V4, request, { status: IcStatus.noMoreItems });
      assert.equal(hex(body), before, request.operation);
      assert.deepEqual(ic.decodeReply(body, V4, request, IcStatus.noMoreItems), {
        status: IcStatus.noMoreItems,
      });
    }
  });

  test('a success without what it is about is refused', () => {
    for (const request of [get, enumerate, getIpInfo]) {
      const body = ic.encodeRequest(request, V4);
      assert.throws(
        () => ic.encodeReply(body, V4, request, { status: IcStatus.ok }),
        refuses('value', 'kvp'),
      );
    }
  });

  test('a reply is checked by the host too', () => {
    const body = message(LENGTH, { 0: '03 00 0000 05000000 01000000 06000000 07000000', 20: KEY });
    assert.throws(
      () => ic.decodeReply(body, V4, enumerate, IcStatus.ok),
      failsAs('size', 'kvp.record.value'),
    );
    assert.throws(
      () => ic.decodeReply(body.subarray(0, 100), V4, get, IcStatus.ok),
      failsAs('truncated', 'kvp.reserved'),
    );
  });
});

test('versions 1.0, 3.0 and 4.0 have the same bodies', () => {
  const request: KvpRequest = { operation: 'getIpInfo', pool: 0, adapterId: 'x', addressFamily: 1 };
  for (const other of [version(1, 0), version(3, 0)]) {
    assert.equal(hex(ic.encodeRequest(request, other)), hex(ic.encodeRequest(request, V4)));
  }
});
