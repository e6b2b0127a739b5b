/** Whatever KVP messages can hold, made at random. */
import fc from 'fast-check';
import { IcStatus } from '../../protocol/ic/status.ts';
import { version } from '../../protocol/ic/version.ts';
import { formatIpv4, formatIpv6 } from '../../protocol/kvp/ip-address.ts';
import type { KvpIpInfo, KvpReply, KvpRequest, KvpValue } from '../../protocol/kvp/types.ts';
import { kvpProtocol } from '../../protocol/kvp/vmbus.ts';

export const { ic } = kvpProtocol;
export const V4 = version(4, 0);
export const V5 = version(5, 0);

/** deepEqual tells objects without a prototype from ours. */
export const record = <T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> =>
  fc.record(model, { noNullPrototype: true }) as fc.Arbitrary<T>;

/** Well-formed text without NUL, of any script, up to so many UTF-16 units. */
export const textOf = (maxUnits: number) =>
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
export const key = textOf(255);
export const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
export const u8 = fc.integer({ min: 0, max: 255 });
/** Types of registry values that we give no meaning. */
const otherType = u32.filter((code) => ![1, 2, 4, 8, 11].includes(code));

export const value: fc.Arbitrary<KvpValue> = fc.oneof(
  record({ type: fc.constantFrom('string' as const, 'expandString' as const), text: textOf(1023) }),
  record({ type: fc.constant('u32' as const), value: u32 }),
  record({ type: fc.constant('u64' as const), value: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }) }),
  record({
    type: fc.constant('unknown' as const),
    typeCode: otherType,
    bytes: fc.uint8Array({ maxLength: 2048, size: 'max' }),
  }),
);

export const entries = (maxUnits: number) =>
  fc.array(
    textOf(maxUnits).map((entry) => entry.replaceAll(';', '')),
    { maxLength: 8 },
  );
export const textIpInfo: fc.Arbitrary<KvpIpInfo> = record({
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
export const binaryIpInfo: fc.Arbitrary<KvpIpInfo> = fc
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

export const requests = (
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
export function replyTo(
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
