import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  expandIpv6,
  type InterfaceAddress,
  type LinkFacts,
  type NetworkFacts,
  orderAddresses,
} from '../../../daemons/kvp/network.ts';

/** An interface as sysfs shows it; the defaults are those of a plain virtual Ethernet device. */
const link = (index: number, facts: Partial<LinkFacts> = {}): LinkFacts => ({
  index,
  hardwareType: 1,
  deviceType: '',
  hasDevice: false,
  isTun: false,
  lower: [],
  ...facts,
});
const card = (index: number): LinkFacts => link(index, { hasDevice: true });

const addresses = (...entries: [name: string, ...addresses: string[]][]): InterfaceAddress[] =>
  entries.flatMap(([name, ...list]) =>
    list.map((address) => ({
      name,
      address,
      family: address.includes(':') ? (6 as const) : (4 as const),
      isLoopback: name === 'lo',
    })),
  );

const ROUTE_HEADER =
  'Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n';
const route = (name: string, metric: number, flags = '0003'): string =>
  `${name}\t00000000\t010011AC\t${flags}\t0\t0\t${metric}\t00000000\t0\t0\t0\n`;
const ZEROS = '0'.repeat(32);
const route6 = (name: string, metricHex: string, flags = '00000003'): string =>
  `${ZEROS} 00 ${ZEROS} 00 fe80000000000000021122fffe334455 ${metricHex} 00000001 00000000 ` +
  `${flags}     ${name}\n`;

const facts = (
  list: InterfaceAddress[],
  links: Record<string, LinkFacts>,
  tables: Partial<Pick<NetworkFacts, 'ipv4Routes' | 'ipv6Routes' | 'ipv6Flags'>> = {},
): NetworkFacts => ({
  addresses: list,
  links: new Map(Object.entries(links)),
  ipv4Routes: '',
  ipv6Routes: '',
  ipv6Flags: '',
  ...tables,
});

const cases: [name: string, facts: NetworkFacts, ipv4: string[], ipv6: string[]][] = [
  ['nothing at all', facts([], {}), [], []],
  [
    'no loopback',
    facts(addresses(['lo', '127.0.0.1', '::1'], ['eth0', '10.0.0.4']), {
      lo: link(1),
      eth0: card(2),
    }),
    ['10.0.0.4'],
    [],
  ],
  [
    'Docker: its bridge and pairs come after the card, though named and numbered before it',
    facts(addresses(['docker0', '172.17.0.1'], ['br-1f2e', '172.18.0.1'], ['eth0', '10.0.0.4']), {
      docker0: link(1, { deviceType: 'bridge', lower: ['veth1'] }),
      veth1: link(2),
      'br-1f2e': link(3, { deviceType: 'bridge' }),
      eth0: card(4),
    }),
    ['10.0.0.4', '172.17.0.1', '172.18.0.1'],
    [],
  ],
  [
    'a bridge with a card in it is as good as the card',
    facts(addresses(['docker0', '172.17.0.1'], ['br0', '10.0.0.4']), {
      docker0: link(3, { deviceType: 'bridge', lower: ['veth1'] }),
      veth1: link(4),
      br0: link(5, { deviceType: 'bridge', lower: ['eth0', 'vnet0'] }),
      eth0: card(2),
      vnet0: link(6, { isTun: true }),
    }),
    ['10.0.0.4', '172.17.0.1'],
    [],
  ],
  [
    'a VLAN over a bond over two cards',
    facts(addresses(['docker0', '172.17.0.1'], ['bond0.5', '10.5.0.4']), {
      docker0: link(2, { deviceType: 'bridge' }),
      'bond0.5': link(9, { deviceType: 'vlan', lower: ['bond0'] }),
      bond0: link(8, { deviceType: 'bond', lower: ['eth0', 'eth1'] }),
      eth0: card(3),
      eth1: card(4),
    }),
    ['10.5.0.4', '172.17.0.1'],
    [],
  ],
  [
    'interfaces stacked in a circle end',
    facts(addresses(['a', '10.0.0.1'], ['eth0', '10.0.0.4']), {
      a: link(1, { lower: ['b'] }),
      b: link(2, { lower: ['a'] }),
      eth0: card(3),
    }),
    ['10.0.0.4', '10.0.0.1'],
    [],
  ],
  [
    'the default route decides between two cards, the lower metric between two of them',
    facts(
      addresses(['eth0', '192.168.1.1'], ['eth1', '10.0.0.4'], ['eth2', '10.9.0.4']),
      { eth0: card(2), eth1: card(3), eth2: card(4) },
      {
        ipv4Routes:
          ROUTE_HEADER + route('eth1', 200) + route('eth2', 100) + route('eth0', 1, '0203'),
      },
    ),
    ['10.9.0.4', '10.0.0.4', '192.168.1.1'],
    [],
  ],
  [
    'tunnels between cards and containers',
    facts(
      addresses(
        ['docker0', '172.17.0.1'],
        ['flannel.1', '10.244.0.0'],
        ['wg0', '10.8.0.2'],
        ['tun0', '10.9.0.2'],
        ['tunl0', '10.10.0.2'],
        ['eth0', '10.0.0.4'],
      ),
      {
        docker0: link(1, { deviceType: 'bridge' }),
        'flannel.1': link(2, { deviceType: 'vxlan', lower: ['eth0'] }),
        wg0: link(3, { deviceType: 'wireguard', hardwareType: 65534 }),
        tun0: link(4, { isTun: true, hardwareType: 65534 }),
        tunl0: link(5, { hardwareType: 768 }),
        eth0: card(6),
      },
      { ipv4Routes: ROUTE_HEADER + route('wg0', 50) + route('eth0', 100) },
    ),
    ['10.0.0.4', '10.8.0.2', '10.9.0.2', '10.10.0.2', '172.17.0.1', '10.244.0.0'],
    [],
  ],
  [
    'inside a container the pair that carries the default route is the real one',
    facts(
      addresses(['cni0', '10.1.0.1'], ['eth0', '172.17.0.2']),
      { cni0: link(2, { deviceType: 'bridge' }), eth0: link(7) },
      { ipv4Routes: ROUTE_HEADER + route('eth0', 0) },
    ),
    ['172.17.0.2', '10.1.0.1'],
    [],
  ],
  [
    'link-local last of all, whatever it hangs on',
    facts(addresses(['eth0', '169.254.3.4', 'fe80::1'], ['docker0', '172.17.0.1', 'fd00::1']), {
      eth0: card(2),
      docker0: link(3, { deviceType: 'bridge' }),
    }),
    ['172.17.0.1', '169.254.3.4'],
    ['fd00::1', 'fe80::1'],
  ],
  [
    'addresses of one interface stay in the order of the kernel, labels and all, each once',
    facts(addresses(['eth0', '10.0.0.4', '10.0.0.6'], ['eth0:1', '10.0.0.5', '10.0.0.4']), {
      eth0: card(2),
    }),
    ['10.0.0.4', '10.0.0.6', '10.0.0.5'],
    [],
  ],
  [
    'IPv6: stable, then temporary, then deprecated; failed and unchecked ones not at all',
    facts(
      addresses([
        'eth0',
        '2001:db8::d',
        '2001:db8::7',
        '2001:db8::5',
        '2001:db8::f',
        '2001:db8::e',
        '2001:db8::c',
        'fd00::4',
      ]),
      { eth0: card(2) },
      {
        ipv6Flags: [
          '20010db800000000000000000000000d 02 40 00 20     eth0',
          '20010db8000000000000000000000007 02 40 00 01     eth0',
          '20010db8000000000000000000000005 02 40 00 80     eth0',
          '20010db800000000000000000000000f 02 40 00 c8     eth0',
          '20010db800000000000000000000000e 02 40 00 40     eth0',
          '20010db800000000000000000000000c 02 40 00 44     eth0',
          'fd000000000000000000000000000004 02 40 00 80     eth0',
          '',
        ].join('\n'),
      },
    ),
    [],
    ['2001:db8::5', '2001:db8::c', 'fd00::4', '2001:db8::7', '2001:db8::d'],
  ],
  [
    'the IPv6 default route counts for IPv6, and an unreachable one does not',
    facts(
      addresses(['eth0', '2001:db8:1::1', '10.0.0.1'], ['eth1', '2001:db8:2::1', '10.0.1.1']),
      { eth0: card(2), eth1: card(3) },
      {
        ipv4Routes: ROUTE_HEADER + route('eth0', 100),
        ipv6Routes:
          route6('eth1', '00000064') +
          route6('eth0', '00000001', '00200200') +
          route6('lo', 'ffffffff', '00200200'),
      },
    ),
    ['10.0.0.1', '10.0.1.1'],
    ['2001:db8:2::1', '2001:db8:1::1'],
  ],
  [
    'an interface that sysfs does not show comes last, and tables that are nonsense count ' +
      'for nothing',
    facts(
      addresses(['ghost0', '10.0.0.9'], ['eth0', '10.0.0.4']),
      { eth0: card(2) },
      { ipv4Routes: 'x\n\t\t\n00000000 00000000', ipv6Routes: 'zz 00\n', ipv6Flags: '1 2\n' },
    ),
    ['10.0.0.4', '10.0.0.9'],
    [],
  ],
];

describe('the order of addresses', () => {
  for (const [name, input, ipv4, ipv6] of cases) {
    it(name, () => assert.deepEqual(orderAddresses(input), { ipv4, ipv6 }));
  }
});

describe('expandIpv6', () => {
  const expansions: [text: string, expected: string][] = [
    ['::', ZEROS],
    ['::1', `${'0'.repeat(31)}1`],
    ['fe80::', `fe80${'0'.repeat(28)}`],
    ['2001:db8::7:0:1', '20010db8000000000000000700000001'],
    ['1:2:3:4:5:6:7:8', '00010002000300040005000600070008'],
    ['::ffff:10.0.0.4', '00000000000000000000ffff0a000004'],
    ['1:2:3', ''],
    ['1:2:3:4:5:6:7:8:9', ''],
    ['10.0.0.4', ''],
  ];
  for (const [text, expected] of expansions)
    it(text, () => assert.equal(expandIpv6(text), expected));
});
