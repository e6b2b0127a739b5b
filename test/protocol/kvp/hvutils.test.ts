import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { IcStatus } from '../../../protocol/ic/status.ts';
import { kvpHvUtils } from '../../../protocol/kvp/hvutils.ts';
import type { KvpReply, KvpRequest } from '../../../protocol/kvp/types.ts';
import { failsAs, hex, message, refuses, testVectors } from '../vector.ts';

const LENGTH = 7432;
// "ké" and "v€", UTF-8
const KEY = '6b c3a9';
const VALUE = '76 e282ac';

describe('registration', () => {
  test('names operation 100 and nothing else', () => {
    assert.equal(hex(kvpHvUtils.encodeRegistration()), hex(message(LENGTH, { 0: '64' })));
  });
  test("the kernel's answer carries its version text", () => {
    const answer = message(LENGTH, { 0: '64 00 0000', 4: '332e31' });
    assert.equal(kvpHvUtils.decodeRegistration(answer), '3.1');
    assert.equal(hex(kvpHvUtils.encodeRegistrationAnswer('3.1')), hex(answer));
    assert.equal(kvpHvUtils.decodeRegistration(message(LENGTH, { 0: '03' })), undefined);
  });
  test('is checked like any other message', () => {
    assert.throws(
      () => kvpHvUtils.decodeRegistration(message(100, { 0: '64' })),
      failsAs('truncated', 'kvp', 'kvp at offset 100: expected 7432 bytes, got 100'),
    );
    const endless = message(LENGTH, { 0: '64', 4: '31'.repeat(512) });
    assert.throws(
      () => kvpHvUtils.decodeRegistration(endless),
      failsAs('unterminated', 'kvp.version'),
    );
  });
});

describe('KVP requests of hv_utils', () => {
  testVectors(kvpHvUtils.decodeRequest, kvpHvUtils.encodeRequest, [
    {
      name: 'get',
      bytes: message(LENGTH, { 0: '00 02 0000 00000000 04000000 00000000', 16: KEY }),
      value: { operation: 'get', pool: 2, key: 'ké' },
    },
    {
      name: 'set, which never has a type',
      bytes: message(LENGTH, { 0: '01 00 0000 00000000 04000000 05000000', 16: KEY, 528: VALUE }),
      value: { operation: 'set', pool: 0, key: 'ké', value: { type: 'string', text: 'v€' } },
    },
    {
      name: 'set of a value the kernel could not pass on',
      bytes: message(LENGTH, { 0: '01 00 0000 00000000 04000000 00000000', 16: KEY }),
      value: {
        operation: 'set',
        pool: 0,
        key: 'ké',
        value: { type: 'unknown', typeCode: 0, bytes: new Uint8Array(0) },
      },
    },
    {
      name: 'delete',
      bytes: message(LENGTH, { 0: '02 01 0000 04000000', 8: KEY }),
      value: { operation: 'delete', pool: 1, key: 'ké' },
    },
    {
      name: 'enumerate',
      bytes: message(LENGTH, { 0: '03 04 0000 fe010000' }),
      value: { operation: 'enumerate', pool: 4, index: 510 },
    },
    {
      name: 'get IP info',
      bytes: message(LENGTH, { 0: '04 00 0000', 4: '30303a31', 260: '02' }),
      value: { operation: 'getIpInfo', pool: 0, adapterId: '00:1', addressFamily: 2 },
    },
    {
      name: 'set IP info',
      bytes: message(LENGTH, {
        0: '05 00 0000',
        4: '7b7d',
        260: '03 01',
        262: '312e32 3b 3a3a',
        2310: '32 3b 2f36',
        4358: '33',
        5382: '34 3b 35',
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
    },
    {
      name: 'an unknown operation',
      bytes: message(LENGTH, { 0: '63 07' }),
      value: { operation: 'unknown', pool: 7, operationCode: 99 },
    },
  ]);

  test('a message has one length', () => {
    assert.throws(
      () => kvpHvUtils.decodeRequest(new Uint8Array(LENGTH + 1)),
      failsAs('size', 'kvp'),
    );
    assert.throws(
      () =>
        kvpHvUtils.decodeReply(new Uint8Array(LENGTH - 1), { operation: 'get', pool: 0, key: 'k' }),
      failsAs('truncated', 'kvp'),
    );
  });

  test('sizes that cannot be, text that is none', () => {
    const cases: [string, Record<number, string>, Parameters<typeof failsAs>][] = [
      [
        'key size beyond its field',
        { 8: '01020000' },
        ['size', 'kvp.key', 'kvp.key at offset 16: expected a size of at most 512, got 513'],
      ],
      ['key size without the NUL', { 8: '03000000' }, ['unterminated', 'kvp.key']],
      ['key size 0', { 8: '00000000' }, ['unterminated', 'kvp.key']],
      ['key not UTF-8', { 16: 'ff' }, ['text', 'kvp.key']],
      ['value size beyond its field', { 12: 'ffffffff' }, ['size', 'kvp.value']],
      ['value size without the NUL', { 12: '04000000' }, ['unterminated', 'kvp.value']],
      ['value cut within a character', { 531: '00' }, ['text', 'kvp.value']],
    ];
    for (const [name, parts, expected] of cases) {
      const bytes = message(LENGTH, {
        0: '01 00 0000 00000000 04000000 05000000',
        16: KEY,
        528: VALUE,
      });
      for (const [at, part] of Object.entries(parts))
        bytes.set(Buffer.from(part, 'hex'), Number(at));
      assert.throws(() => kvpHvUtils.decodeRequest(bytes), failsAs(...expected), name);
    }
  });

  test('the kernel passes on strings and u32 as text, nothing else', () => {
    const set = (value: (KvpRequest & { operation: 'set' })['value']): string =>
      hex(kvpHvUtils.encodeRequest({ operation: 'set', pool: 0, key: 'k', value }));
    const passed = (parts: Record<number, string>): string =>
      hex(message(LENGTH, { 0: '01 00 0000 00000000 02000000', 16: '6b', ...parts }));
    assert.equal(
      set({ type: 'u32', value: 4275878552 }),
      passed({ 12: '0b', 528: '34323735383738353532' }),
    );
    const dropped = passed({});
    assert.equal(set({ type: 'u64', value: 1n }), dropped);
    assert.equal(set({ type: 'expandString', text: 'x' }), dropped);
    assert.equal(set({ type: 'unknown', typeCode: 77, bytes: Uint8Array.of(1) }), dropped);
  });
});

describe('KVP replies to hv_utils', () => {
  const get: KvpRequest = { operation: 'get', pool: 0, key: 'ké' };
  const enumerate: KvpRequest = { operation: 'enumerate', pool: 3, index: 5 };
  const getIpInfo: KvpRequest = {
    operation: 'getIpInfo',
    pool: 0,
    adapterId: '00:1',
    addressFamily: 3,
  };

  const encoded = (request: KvpRequest | undefined, reply: KvpReply): string => {
    // Dirty, as a buffer in use is: only what counts may be written
    const bytes = new Uint8Array(LENGTH).fill(0xee);
    kvpHvUtils.encodeReply(bytes, request, reply);
    return hex(bytes);
  };
  const dirty = (parts: Record<number, string>): string => {
    const bytes = new Uint8Array(LENGTH).fill(0xee);
    for (const [at, part] of Object.entries(parts))
      bytes.set(Buffer.from(part.replaceAll(' ', ''), 'hex'), Number(at));
    return hex(bytes);
  };

  test('enumerate', () => {
    const reply: KvpReply = {
      status: IcStatus.ok,
      key: 'ké',
      value: { type: 'string', text: 'v€' },
    };
    const expected = dirty({
      0: '00000000',
      8: '01000000 04000000 05000000',
      20: `${KEY}00`,
      532: `${VALUE}00`,
    });
    assert.equal(encoded(enumerate, reply), expected);
    assert.deepEqual(kvpHvUtils.decodeReply(Buffer.from(expected, 'hex'), enumerate), reply);
  });

  test('get is laid out like enumerate, since the kernel looks for the value there', () => {
    const reply: KvpReply = { status: IcStatus.ok, value: { type: 'string', text: 'v€' } };
    const expected = dirty({
      0: '00000000',
      8: '01000000 04000000 05000000',
      20: `${KEY}00`,
      532: `${VALUE}00`,
    });
    assert.equal(encoded(get, reply), expected);
    assert.deepEqual(kvpHvUtils.decodeReply(Buffer.from(expected, 'hex'), get), reply);
  });

  test('numbers go out in decimal, an expandable string as it is', () => {
    const value = (value: NonNullable<KvpReply['value']>): string =>
      encoded(enumerate, { status: IcStatus.ok, key: 'k', value });
    const text = (sizeBytes: string, hexText: string): string =>
      dirty({
        0: '00000000',
        8: `01000000 02000000 ${sizeBytes}`,
        20: '6b00',
        532: `${hexText}00`,
      });
    assert.equal(value({ type: 'u32', value: 42 }), text('03000000', '3432'));
    assert.equal(
      value({ type: 'u64', value: 2n ** 64n - 1n }),
      text('15000000', '3138343436373434303733373039353531363135'),
    );
    assert.equal(value({ type: 'expandString', text: '%a%' }), text('04000000', '256125'));
    assert.throws(
      () => value({ type: 'unknown', typeCode: 3, bytes: new Uint8Array(1) }),
      refuses('value', 'kvp.value'),
    );
  });

  test('get IP info', () => {
    const reply: KvpReply = {
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
    };
    const expected = dirty({
      0: '00000000',
      4: '30303a3100',
      260: '01 01',
      262: '61 3b 62 00',
      2310: '63 00',
      4358: '00',
      5382: '64 00',
    });
    assert.equal(encoded(getIpInfo, reply), expected);
    assert.deepEqual(kvpHvUtils.decodeReply(Buffer.from(expected, 'hex'), getIpInfo), reply);
  });

  test(
    'everything else is a status alone: set, delete, failures, a request nobody could ' + 'decode',
    () => {
      const set: KvpRequest = {
        operation: 'set',
        pool: 0,
        key: 'k',
        value: { type: 'string', text: '' },
      };
      for (const request of [
        set,
        { operation: 'delete', pool: 0, key: 'k' },
        { operation: 'unknown', pool: 0, operationCode: 9 },
      ] as const) {
        assert.equal(encoded(request, { status: IcStatus.ok }), dirty({ 0: '00000000' }));
      }
      for (const request of [set, get, enumerate, getIpInfo, undefined]) {
        const expected = dirty({ 0: '03010780' });
        assert.equal(encoded(request, { status: IcStatus.noMoreItems }), expected);
        assert.deepEqual(kvpHvUtils.decodeReply(Buffer.from(expected, 'hex'), request ?? get), {
          status: IcStatus.noMoreItems,
        });
      }
    },
  );

  test('what does not fit is refused', () => {
    const reply = (key: string, text: string): KvpReply => ({
      status: IcStatus.ok,
      key,
      value: { type: 'string', text },
    });
    assert.throws(
      () => encoded(enumerate, reply('k'.repeat(512), '')),
      refuses('tooLong', 'kvp.key'),
    );
    assert.throws(
      () => encoded(enumerate, reply('k', '€'.repeat(683))),
      refuses('tooLong', 'kvp.value'),
    );
    assert.ok(encoded(enumerate, reply('k'.repeat(511), 'v'.repeat(2047))));
    for (const request of [get, enumerate, getIpInfo]) {
      assert.throws(() => encoded(request, { status: IcStatus.ok }), refuses('value', 'kvp'));
    }
  });
});
