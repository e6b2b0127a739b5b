/**
 * IP info of KVP 5.0, which is binary and keeps the families apart. Source: OpenVMM
 * hyperv_ic_protocol/src/kvp.rs. Sizes are bytes, offsets those in the body of an IC message of
 * type 2 (vmbus.ts).
 *
 *    4  4      IPv4 address count, at most 64
 *    8  4      IPv6 address count, at most 64
 *   12  4      IPv4 gateway count, at most 5
 *   16  4      IPv6 gateway count, at most 5
 *   20  4      IPv4 DNS server count, at most 64
 *   24  4      IPv6 DNS server count, at most 64
 *   28  256    adapter id, UTF-16
 *  284  1      address family
 *  285  1      DHCP enabled
 *  288  64*4   IPv4 addresses, network order
 *  544  64*16  IPv6 addresses
 * 1568  64*4   IPv4 subnet masks
 * 1824  64*4   IPv6 prefix lengths, u32
 * 2080  5*4    IPv4 gateways
 * 2100  5*16   IPv6 gateways
 * 2180  64*4   IPv4 DNS servers
 * 2436  64*16  IPv6 DNS servers
 * 3460  128*2  address origins, IPv4's then IPv6's without a gap
 */

import {
  array,
  atMost,
  bool8,
  bytes,
  EncodeError,
  type Layout,
  struct,
  text,
  u8,
  u16,
  u32,
  utf16,
} from '../layout/index.ts';
import { checkedItem } from './fields.ts';
import { formatIpv4, formatIpv6, parseIpv4, parseIpv6 } from './ip-address.ts';
import type { KvpIpInfo } from './types.ts';

const address = (
  sizeBytes: number,
  what: string,
  format: (octets: Uint8Array) => string,
  parse: (text: string) => Uint8Array | undefined,
): Layout<string> => {
  const octets = bytes(sizeBytes);
  return {
    sizeBytes,
    sizeOf: () => sizeBytes,
    read: (cursor) => format(octets.read(cursor)),
    write: (cursor, value) => {
      const parsed = parse(value);
      if (!parsed) throw new EncodeError('value', cursor.offset, what, JSON.stringify(value));
      octets.write(cursor, parsed);
    },
  };
};
const ipv4 = address(4, 'an IPv4 address', formatIpv4, parseIpv4);
const ipv6 = address(16, 'an IPv6 address', formatIpv6, parseIpv6);
const ipv6Subnet = checkedItem(
  u32,
  (length, fail) => (length <= 128 ? `/${length}` : fail('a prefix length of at most 128', length)),
  (subnet, fail) =>
    /^\/\d{1,3}$/.test(subnet)
      ? Number(subnet.slice(1))
      : fail('a prefix length like "/64"', subnet),
);

const MAX_ADDRESSES = 64;
const MAX_GATEWAYS = 5;
const MAX_DNS_SERVERS = 64;
const MAX_ORIGINS = 2 * MAX_ADDRESSES;

interface BinaryIpInfo {
  readonly ipv4Addresses: readonly string[];
  readonly ipv6Addresses: readonly string[];
  readonly ipv4Gateways: readonly string[];
  readonly ipv6Gateways: readonly string[];
  readonly ipv4DnsServers: readonly string[];
  readonly ipv6DnsServers: readonly string[];
}
const addressCount = atMost(u32, MAX_ADDRESSES);
const gatewayCount = atMost(u32, MAX_GATEWAYS);
const dnsServerCount = atMost(u32, MAX_DNS_SERVERS);

/** As on the wire, the families apart. */
export const binaryIpInfo = struct('ipInfo')
  .derived('ipv4AddressCount', addressCount, (info: BinaryIpInfo) => info.ipv4Addresses.length)
  .derived('ipv6AddressCount', addressCount, (info: BinaryIpInfo) => info.ipv6Addresses.length)
  .derived('ipv4GatewayCount', gatewayCount, (info: BinaryIpInfo) => info.ipv4Gateways.length)
  .derived('ipv6GatewayCount', gatewayCount, (info: BinaryIpInfo) => info.ipv6Gateways.length)
  .derived('ipv4DnsServerCount', dnsServerCount, (info: BinaryIpInfo) => info.ipv4DnsServers.length)
  .derived('ipv6DnsServerCount', dnsServerCount, (info: BinaryIpInfo) => info.ipv6DnsServers.length)
  .field('adapterId', text(utf16, 256))
  .field('addressFamily', u8)
  .field('dhcpEnabled', bool8)
  .reserved(2)
  .dependent(
    'ipv4Addresses',
    (e) => array(ipv4, e.ipv4AddressCount, MAX_ADDRESSES),
    MAX_ADDRESSES * 4,
  )
  .dependent(
    'ipv6Addresses',
    (e) => array(ipv6, e.ipv6AddressCount, MAX_ADDRESSES),
    MAX_ADDRESSES * 16,
  )
  .dependent(
    'ipv4Subnets',
    (e) => array(ipv4, e.ipv4AddressCount, MAX_ADDRESSES),
    MAX_ADDRESSES * 4,
  )
  .dependent(
    'ipv6Subnets',
    (e) => array(ipv6Subnet, e.ipv6AddressCount, MAX_ADDRESSES),
    MAX_ADDRESSES * 4,
  )
  .dependent('ipv4Gateways', (e) => array(ipv4, e.ipv4GatewayCount, MAX_GATEWAYS), MAX_GATEWAYS * 4)
  .dependent(
    'ipv6Gateways',
    (e) => array(ipv6, e.ipv6GatewayCount, MAX_GATEWAYS),
    MAX_GATEWAYS * 16,
  )
  .dependent(
    'ipv4DnsServers',
    (e) => array(ipv4, e.ipv4DnsServerCount, MAX_DNS_SERVERS),
    MAX_DNS_SERVERS * 4,
  )
  .dependent(
    'ipv6DnsServers',
    (e) => array(ipv6, e.ipv6DnsServerCount, MAX_DNS_SERVERS),
    MAX_DNS_SERVERS * 16,
  )
  .dependent(
    'addressOrigins',
    (e) => array(u16, e.ipv4AddressCount + e.ipv6AddressCount, MAX_ORIGINS),
    MAX_ORIGINS * 2,
  );

/** As a service sees it. IPv4 comes first in every list. */
export const binaryIpInfoField: Layout<KvpIpInfo> = {
  sizeBytes: binaryIpInfo.sizeBytes,
  sizeOf: () => binaryIpInfo.sizeBytes!,
  read: (cursor) => {
    const info = binaryIpInfo.read(cursor);
    return {
      adapterId: info.adapterId,
      addressFamily: info.addressFamily,
      dhcpEnabled: info.dhcpEnabled,
      addresses: [...info.ipv4Addresses, ...info.ipv6Addresses],
      addressOrigins: info.addressOrigins,
      subnets: [...info.ipv4Subnets, ...info.ipv6Subnets],
      gateways: [...info.ipv4Gateways, ...info.ipv6Gateways],
      dnsServers: [...info.ipv4DnsServers, ...info.ipv6DnsServers],
    };
  },
  write: (cursor, info) => {
    const { addresses, subnets } = info;
    const origins = info.addressOrigins ?? addresses.map(() => 0);
    for (const [name, list] of Object.entries({ subnets, addressOrigins: origins })) {
      if (list.length !== addresses.length) {
        throw new EncodeError(
          'count',
          cursor.offset,
          `one for each of ${addresses.length} addresses`,
          list.length,
        ).within(name);
      }
    }
    const isIpv6 = (address: string): boolean => address.includes(':');
    const v4 = <T>(list: readonly T[], by: readonly string[]): T[] =>
      list.filter((_, i) => !isIpv6(by[i]!));
    const v6 = <T>(list: readonly T[], by: readonly string[]): T[] =>
      list.filter((_, i) => isIpv6(by[i]!));
    binaryIpInfo.write(cursor, {
      adapterId: info.adapterId,
      addressFamily: info.addressFamily,
      dhcpEnabled: info.dhcpEnabled,
      ipv4Addresses: v4(addresses, addresses),
      ipv6Addresses: v6(addresses, addresses),
      ipv4Subnets: v4(subnets, addresses),
      ipv6Subnets: v6(subnets, addresses),
      ipv4Gateways: v4(info.gateways, info.gateways),
      ipv6Gateways: v6(info.gateways, info.gateways),
      ipv4DnsServers: v4(info.dnsServers, info.dnsServers),
      ipv6DnsServers: v6(info.dnsServers, info.dnsServers),
      addressOrigins: [...v4(origins, addresses), ...v6(origins, addresses)],
    });
  },
};
