import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { IcStatus } from '../../../protocol/ic/status.ts';
import type { KvpIpInfo } from '../../../protocol/kvp/types.ts';
import { failsAs, hex, message, refuses } from '../vector.ts';
import { BINARY, BINARY_PARTS, ic, LENGTH, testRequests, V5 } from './messages.ts';

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
