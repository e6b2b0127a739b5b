import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { IcStatus } from '../../../protocol/ic/status.ts';
import type { KvpReply, KvpRequest } from '../../../protocol/kvp/types.ts';
import { failsAs, hex, message, refuses } from '../vector.ts';
import { BINARY, ic, KEY, LENGTH, V4, VALUE } from './messages.ts';

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
