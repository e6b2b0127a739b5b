import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { negotiation } from '../../protocol/ic/negotiation.ts';
import { decodeIcMessage, encodeIcMessage, icHeader } from '../../protocol/ic/packet.ts';
import { IcStatus } from '../../protocol/ic/status.ts';
import { type Version, version } from '../../protocol/ic/version.ts';
import { kvpHvUtils } from '../../protocol/kvp/hvutils.ts';
import { formatIpv4, formatIpv6, parseIpv4, parseIpv6 } from '../../protocol/kvp/ip-address.ts';
import type { KvpIpInfo, KvpValue } from '../../protocol/kvp/types.ts';
import {
  DecodeError,
  EncodeError,
  struct,
  text,
  utf8,
  utf16,
} from '../../protocol/layout/index.ts';
import { parseTrace, printTrace, type TraceEntry } from '../../protocol/trace/trace.ts';
import {
  binaryIpInfo,
  ic,
  key,
  record,
  replyTo,
  requests,
  textIpInfo,
  textOf,
  u8,
  V4,
  V5,
  value,
} from './arbitraries.ts';
import { hex } from './vector.ts';

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
