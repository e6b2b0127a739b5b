import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { negotiation } from '../../protocol/ic/negotiation.ts';
import { decodeIcMessage, encodeIcMessage, icHeader } from '../../protocol/ic/packet.ts';
import { IcStatus } from '../../protocol/ic/status.ts';
import { type Version, version } from '../../protocol/ic/version.ts';
import { kvpHvUtils } from '../../protocol/kvp/hvutils.ts';
import { formatIpv4, formatIpv6, parseIpv4, parseIpv6 } from '../../protocol/kvp/ip-address.ts';
import type { KvpIpInfo, KvpReply, KvpRequest, KvpValue } from '../../protocol/kvp/types.ts';
import { kvpProtocol } from '../../protocol/kvp/vmbus.ts';
import {
  DecodeError,
  EncodeError,
  struct,
  text,
  utf8,
  utf16,
} from '../../protocol/layout/index.ts';
import { parseTrace, printTrace, type TraceEntry } from '../../protocol/trace/trace.ts';
import { hex } from './vector.ts';

const { ic } = kvpProtocol;
const V4 = version(4, 0);
const V5 = version(5, 0);

/** deepEqual tells objects without a prototype from ours. */
const record = <T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> =>
  fc.record(model, { noNullPrototype: true }) as fc.Arbitrary<T>;

/** Well-formed text without NUL, of any script, up to so many UTF-16 units. */
const textOf = (maxUnits: number) =>
  fc
    .string({
      unit: fc.oneof(fc.string({ unit: 'binary', minLength: 1, maxLength: 1 }), fc.constant('a')),
      maxLength: maxUnits,
      size: 'max',
    })
    .map((value) => value.replaceAll('\0', ''))
    .map((value) =>
      value.length > maxUnits ? value.slice(0, maxUnits).replace(/[\ud800-\udbff]$/, '') : value,
    );
const key = textOf(255);
const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const u8 = fc.integer({ min: 0, max: 255 });
/** Types of registry values that we give no meaning. */
const otherType = u32.filter((code) => ![1, 2, 4, 8, 11].includes(code));

const value: fc.Arbitrary<KvpValue> = fc.oneof(
  record({ type: fc.constantFrom('string' as const, 'expandString' as const), text: textOf(1023) }),
  record({ type: fc.constant('u32' as const), value: u32 }),
  record({ type: fc.constant('u64' as const), value: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }) }),
  record({
    type: fc.constant('unknown' as const),
    typeCode: otherType,
    bytes: fc.uint8Array({ maxLength: 2048, size: 'max' }),
  }),
);

const entries = (maxUnits: number) =>
  fc.array(
    textOf(maxUnits).map((entry) => entry.replaceAll(';', '')),
    { maxLength: 8 },
  );
const textIpInfo: fc.Arbitrary<KvpIpInfo> = record({
  adapterId: textOf(127),
  addressFamily: u8,
  dhcpEnabled: fc.boolean(),
  addresses: entries(40),
  subnets: entries(40),
  gateways: entries(40),
  dnsServers: entries(40),
});

const ipv4 = fc.uint8Array({ minLength: 4, maxLength: 4 }).map(formatIpv4);
const ipv6 = fc.uint8Array({ minLength: 16, maxLength: 16 }).map(formatIpv6);
const families = (maxLength: number) =>
  fc
    .tuple(fc.array(ipv4, { maxLength }), fc.array(ipv6, { maxLength }))
    .map(([v4, v6]) => [...v4, ...v6]);
const origin = fc.integer({ min: 0, max: 0xffff });
const binaryIpInfo: fc.Arbitrary<KvpIpInfo> = fc
  .record({
    v4: fc.array(fc.tuple(ipv4, ipv4, origin), { maxLength: 64, size: 'max' }),
    v6: fc.array(fc.tuple(ipv6, fc.integer({ min: 0, max: 128 }), origin), {
      maxLength: 64,
      size: 'max',
    }),
    adapterId: textOf(127),
    addressFamily: u8,
    dhcpEnabled: fc.boolean(),
    gateways: families(5),
    dnsServers: families(64),
  })
  .map(({ v4, v6, ...rest }) => ({
    ...rest,
    addresses: [...v4, ...v6].map(([address]) => address),
    subnets: [...v4.map(([, mask]) => mask), ...v6.map(([, length]) => `/${length}`)],
    addressOrigins: [...v4, ...v6].map(([, , from]) => from),
  }));

const requests = (
  ipInfo: fc.Arbitrary<KvpIpInfo>,
  values: fc.Arbitrary<KvpValue>,
  keys = key,
): fc.Arbitrary<KvpRequest> =>
  fc.oneof(
    record({ operation: fc.constantFrom('get' as const, 'delete' as const), pool: u8, key: keys }),
    record({ operation: fc.constant('set' as const), pool: u8, key: keys, value: values }),
    record({ operation: fc.constant('enumerate' as const), pool: u8, index: u32 }),
    record({
      operation: fc.constant('getIpInfo' as const),
      pool: u8,
      adapterId: textOf(127),
      addressFamily: u8,
    }),
    record({ operation: fc.constant('setIpInfo' as const), pool: u8, ipInfo }),
    record({
      operation: fc.constant('unknown' as const),
      pool: u8,
      operationCode: fc.integer({ min: 6, max: 255 }),
    }),
  ) as fc.Arbitrary<KvpRequest>;

/** Of a well-formed request, what its success would answer. */
function replyTo(
  request: KvpRequest,
  sample: { key: string; value: KvpValue; ipInfo: KvpIpInfo },
): KvpReply {
  switch (request.operation) {
    case 'get':
      return { status: IcStatus.ok, value: sample.value };
    case 'enumerate':
      return { status: IcStatus.ok, key: sample.key, value: sample.value };
    case 'getIpInfo':
      return { status: IcStatus.ok, ipInfo: sample.ipInfo };
    default:
      return { status: IcStatus.ok };
  }
}

describe('round trips', () => {
  const wires: [string, Version, fc.Arbitrary<KvpIpInfo>][] = [
    ['KVP 4.0', V4, textIpInfo],
    ['KVP 5.0', V5, binaryIpInfo],
  ];
  for (const [name, messageVersion, ipInfo] of wires) {
    test(`${name} over VMBus`, () => {
      fc.assert(
        fc.property(requests(ipInfo, value), key, value, ipInfo, (request, key, value, ipInfo) => {
          const body = ic.encodeRequest(request, messageVersion);
          assert.deepEqual(ic.decodeRequest(body, messageVersion), request);
          const reply = replyTo(request, { key, value, ipInfo });
          ic.encodeReply(body, messageVersion, request, reply);
          assert.deepEqual(ic.decodeReply(body, messageVersion, request, IcStatus.ok), reply);
        }),
      );
    });
  }

  test('KVP on the char device', () => {
    // UTF-8 takes up to three bytes a unit: these always fit
    const keys = textOf(170);
    const values = textOf(682).map((text): KvpValue => ({ type: 'string', text }));
    const info = textIpInfo.map((info) => ({
      ...info,
      adapterId: info.adapterId.slice(0, 80).replace(/[\ud800-\udbff]$/, ''),
    }));
    const fitting = requests(info, values, keys).map((request) =>
      request.operation === 'getIpInfo'
        ? { ...request, adapterId: request.adapterId.slice(0, 80).replace(/[\ud800-\udbff]$/, '') }
        : request,
    );
    fc.assert(
      fc.property(fitting, keys, values, info, (request, key, value, ipInfo) => {
        const message = kvpHvUtils.encodeRequest(request);
        assert.deepEqual(kvpHvUtils.decodeRequest(message), request);
        const reply = replyTo(request, { key, value, ipInfo });
        kvpHvUtils.encodeReply(message, request, reply);
        assert.deepEqual(kvpHvUtils.decodeReply(message, request), reply);
      }),
    );
  });

  test('negotiation', () => {
    const u16 = fc.integer({ min: 0, max: 0xffff });
    const list = fc.array(record({ major: u16, minor: u16 }), { maxLength: 100, size: 'max' });
    fc.assert(
      fc.property(list, list, (frameworkVersions, messageVersions) => {
        const offer = { frameworkVersions, messageVersions };
        assert.deepEqual(negotiation.decode(negotiation.encode(offer)), offer);
      }),
    );
  });

  test('IP addresses', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (octets) => {
        assert.deepEqual(parseIpv6(formatIpv6(octets)), octets);
        assert.deepEqual(parseIpv4(formatIpv4(octets.subarray(0, 4))), octets.subarray(0, 4));
      }),
    );
    // Another implementation's text, and its reading of ours
    fc.assert(
      fc.property(fc.ipV6(), (text) => {
        const octets = parseIpv6(text);
        assert.ok(octets, text);
        assert.equal(
          new URL(`http://[${formatIpv6(octets)}]/`).hostname,
          new URL(`http://[${text}]/`).hostname,
        );
      }),
    );
  });

  test('traces', () => {
    const packet = record({
      kind: fc.constant('packet' as const),
      direction: fc.constantFrom('h2g' as const, 'g2h' as const),
      delayMs: fc.nat(),
      transactionId: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
      payload: fc
        .array(
          fc.oneof(
            fc.uint8Array({ maxLength: 20 }),
            fc.nat(40).map((zeros) => new Uint8Array(zeros)),
          ),
        )
        .map((parts) => Uint8Array.from([1, ...parts.flatMap((part) => [...part])])),
    });
    const note = record({ kind: fc.constant('note' as const), text: fc.string() });
    fc.assert(
      fc.property(
        fc.array(fc.oneof(packet, note) as fc.Arbitrary<TraceEntry>),
        fc.boolean(),
        (entries, zeroRuns) => {
          const trace = { header: [['service', 'kvp']] as const, entries };
          assert.deepEqual(parseTrace(printTrace(trace, { zeroRuns })), trace);
        },
      ),
    );
  });
});

describe('text is kept or refused, never changed', () => {
  for (const [name, encoding] of Object.entries({ utf8, utf16 })) {
    test(name, () => {
      const field = struct('m').field('t', text(encoding, 64));
      fc.assert(
        fc.property(
          fc.string({ unit: 'binary', maxLength: 70, size: 'max' }),
          fc.boolean(),
          fc.nat(70),
          (whole, cut, at) => {
            // Cutting makes lone surrogates
            const value = cut ? whole.slice(at) : whole;
            let bytes: Uint8Array;
            try {
              bytes = field.encode({ t: value });
            } catch (error) {
              assert.ok(error instanceof EncodeError, `${error}`);
              const encoded = Buffer.from(value, name === 'utf8' ? 'utf8' : 'utf16le');
              const wellFormed =
                encoded.toString(name === 'utf8' ? 'utf8' : 'utf16le') === value &&
                !/\p{Surrogate}/u.test(value);
              const room = 64 - (name === 'utf8' ? 1 : 2);
              assert.ok(
                !wellFormed || value.includes('\0') || encoded.length > room,
                `refused ${JSON.stringify(value)}`,
              );
              return;
            }
            assert.equal(field.decode(bytes).t, value);
          },
        ),
        { numRuns: 1000 },
      );
    });
  }
});

describe('bytes from outside are decoded or give a DecodeError, nothing else', () => {
  const decodesOrFails = (decode: () => unknown): boolean => {
    try {
      decode();
      return true;
    } catch (error) {
      assert.ok(error instanceof DecodeError, `${error}`);
      assert.ok(error.path.length > 0 && error.message.startsWith(error.path), error.message);
      return false;
    }
  };
  const anyBytes = fc.oneof(
    fc.uint8Array({ maxLength: 64, size: 'max' }),
    fc.uint8Array({ maxLength: 8000, size: 'max' }),
  );
  const anyVersion = fc.constantFrom(version(1, 0), version(3, 0), V4, V5);

  test('arbitrary bytes', () => {
    fc.assert(
      fc.property(anyBytes, fc.nat(6), anyVersion, (bytes, operation, messageVersion) => {
        if (bytes.length > 0) bytes[0] = operation;
        const before = hex(bytes);
        decodesOrFails(() => decodeIcMessage(bytes));
        decodesOrFails(() => icHeader.decode(bytes));
        decodesOrFails(() => negotiation.decode(bytes));
        decodesOrFails(() => ic.decodeRequest(bytes, messageVersion));
        decodesOrFails(() => kvpHvUtils.decodeRequest(bytes));
        decodesOrFails(() => kvpHvUtils.decodeRegistration(bytes));
        for (const request of [
          { operation: 'get', pool: 0, key: 'k' },
          { operation: 'enumerate', pool: 0, index: 0 },
          { operation: 'getIpInfo', pool: 0, adapterId: '', addressFamily: 0 },
        ] as const) {
          decodesOrFails(() => ic.decodeReply(bytes, messageVersion, request, IcStatus.ok));
          decodesOrFails(() => kvpHvUtils.decodeReply(bytes, request));
        }
        assert.equal(hex(bytes), before, 'decoding writes nothing');
      }),
      { numRuns: 500 },
    );
  });

  /** A few bytes changed where the fields are, and perhaps the end cut off. */
  const mutations = record({
    changes: fc.array(fc.tuple(fc.oneof(fc.nat(40), fc.nat(600), fc.nat(7431)), u8), {
      minLength: 1,
      maxLength: 6,
    }),
    length: fc.oneof(fc.constant(7432), fc.nat(7432)),
  });
  const mutate = (
    bytes: Uint8Array,
    { changes, length }: { changes: [number, number][]; length: number },
  ): Uint8Array => {
    const mutated = bytes.slice(0, length);
    for (const [at, byte] of changes) if (at < mutated.length) mutated[at] = byte;
    return mutated;
  };

  test('mutated requests; what still decodes can be answered in place', () => {
    let decodedCount = 0;
    let refusedCount = 0;
    const ipInfos = { '4': textIpInfo, '5': binaryIpInfo };
    for (const [major, ipInfo] of Object.entries(ipInfos)) {
      const messageVersion = version(Number(major), 0);
      fc.assert(
        fc.property(requests(ipInfo, value), mutations, (request, mutation) => {
          const body = mutate(ic.encodeRequest(request, messageVersion), mutation);
          const decodes = decodesOrFails(() => {
            const decoded = ic.decodeRequest(body, messageVersion);
            const info = {
              adapterId: '',
              addressFamily: 0,
              dhcpEnabled: false,
              addresses: [],
              subnets: [],
              gateways: [],
              dnsServers: [],
            };
            const reply = replyTo(decoded, {
              key: 'k',
              value: { type: 'u32', value: 1 },
              ipInfo: info,
            });
            ic.encodeReply(body, messageVersion, decoded, reply);
          });
          if (decodes) decodedCount++;
          else refusedCount++;
        }),
        { numRuns: 500 },
      );
    }
    assert.ok(
      decodedCount > 50 && refusedCount > 50,
      `${decodedCount} decoded, ${refusedCount} refused`,
    );
  });

  test('mutated messages of the char device', () => {
    const values = textOf(600).map((text): KvpValue => ({ type: 'string', text }));
    fc.assert(
      fc.property(
        requests(
          textIpInfo.map((info) => ({ ...info, adapterId: 'a' })),
          values,
          textOf(100),
        ),
        mutations,
        (request, mutation) => {
          const safe = request.operation === 'getIpInfo' ? { ...request, adapterId: 'a' } : request;
          const message = mutate(kvpHvUtils.encodeRequest(safe), mutation);
          decodesOrFails(() => kvpHvUtils.decodeRequest(message));
        },
      ),
      { numRuns: 500 },
    );
  });

  test('mutated packets', () => {
    const init = { frameworkVersion: version(3, 0), messageVersion: V4, messageType: 2, flags: 3 };
    const packet = encodeIcMessage(init, new Uint8Array(100));
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(40), u8)), fc.nat(128), (changes, length) => {
        decodesOrFails(() => {
          const { header, body } = decodeIcMessage(mutate(packet, { changes, length }));
          assert.equal(body.length, header.bodySizeBytes);
        });
      }),
      { numRuns: 2000 },
    );
  });
});
