/** What the tests of KVP over VMBus share. */
import { version } from '../../../protocol/ic/version.ts';
import type { KvpIpInfo, KvpRequest } from '../../../protocol/kvp/types.ts';
import { kvpProtocol } from '../../../protocol/kvp/vmbus.ts';
import { testVectors, type Vector } from '../vector.ts';

export const { ic } = kvpProtocol;
export const V4 = version(4, 0);
export const V5 = version(5, 0);
export const LENGTH = 7432;

export const testRequests = (
  messageVersion: typeof V4,
  vectors: readonly Vector<KvpRequest>[],
): void =>
  testVectors(
    (bytes) => ic.decodeRequest(bytes, messageVersion),
    (value) => ic.encodeRequest(value, messageVersion),
    vectors,
  );

// "ké" and "v€", UTF-16
export const KEY = '6b00 e900';
export const VALUE = '7600 ac20';

/** Two addresses of each family; every field differs from its neighbours. */
export const BINARY: KvpIpInfo = {
  adapterId: '{a}',
  addressFamily: 3,
  dhcpEnabled: true,
  addresses: ['192.0.2.1', '192.0.2.2', '2001:db8::1'],
  addressOrigins: [1, 2, 9],
  subnets: ['255.255.255.0', '255.0.0.0', '/64'],
  gateways: ['192.0.2.254', 'fe80::1'],
  dnsServers: ['192.0.2.53', '2001:db8::53', '2001:db8::54'],
};
export const BINARY_PARTS = {
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
