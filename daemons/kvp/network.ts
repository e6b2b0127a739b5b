/**
 * The guest's addresses in the order in which a person would try them. Pure: works on what the
 * kernel's files say.
 */

/** What sysfs says of one interface (/sys/class/net/<name>/). */
export interface LinkFacts {
  readonly index: number;
  /** ARPHRD_*, from `type`. */
  readonly hardwareType: number;
  /** DEVTYPE from `uevent`: "bridge", "vlan", "bond", "vxlan"...; empty for a plain device. */
  readonly deviceType: string;
  /**
   * A `device` link: it belongs to hardware, which in a guest is a netvsc, virtio or passed-through
   * card.
   */
  readonly hasDevice: boolean;
  /** `tun_flags`: some program is its other end. */
  readonly isTun: boolean;
  /** Interfaces it is built on: `lower_*`. */
  readonly lower: readonly string[];
}

export interface InterfaceAddress {
  /** Interface name; a label such as "eth0:1" counts as eth0. */
  readonly name: string;
  readonly family: 4 | 6;
  readonly address: string;
  readonly isLoopback: boolean;
}

export interface NetworkFacts {
  readonly addresses: readonly InterfaceAddress[];
  readonly links: ReadonlyMap<string, LinkFacts>;
  /**
   * Texts of /proc/net/route, /proc/net/ipv6_route and /proc/net/if_inet6; empty where there is
   * none.
   */
  readonly ipv4Routes: string;
  readonly ipv6Routes: string;
  readonly ipv6Flags: string;
}

export interface AddressLists {
  readonly ipv4: readonly string[];
  readonly ipv6: readonly string[];
}

export const interfaceName = (label: string): string => label.split(':', 1)[0] as string;

/**
 * Where an interface stands: real ones first, then tunnels, then what containers and virtual
 * machines hang on.
 */
const Rank = { real: 0, tunnel: 1, virtual: 2 } as const;

/** include/uapi/linux/if_arp.h: PPP, TUNNEL, TUNNEL6, SIT, IPGRE, IP6GRE, NONE (tun, WireGuard). */
const TUNNEL_TYPES: ReadonlySet<number> = new Set([512, 768, 769, 776, 778, 823, 65534]);
/**
 * Networks of containers laid over the real one: they have it below them, but their addresses are
 * not the guest's.
 */
const OVERLAY_DEVICE_TYPES: ReadonlySet<string> = new Set(['vxlan', 'geneve']);

/** include/uapi/linux/if_addr.h */
const IFA_F_TEMPORARY = 0x01;
const IFA_F_OPTIMISTIC = 0x04;
const IFA_F_DADFAILED = 0x08;
const IFA_F_DEPRECATED = 0x20;
const IFA_F_TENTATIVE = 0x40;

/** include/uapi/linux/route.h */
const RTF_UP = 0x1;
const RTF_REJECT = 0x200;

export function orderAddresses(facts: NetworkFacts): AddressLists {
  const defaultMetrics = {
    4: ipv4DefaultMetrics(facts.ipv4Routes),
    6: ipv6DefaultMetrics(facts.ipv6Routes),
  };
  const ipv6Flags = parseIpv6Flags(facts.ipv6Flags);
  const sorted = (family: 4 | 6): string[] => {
    const candidates: { address: string; order: readonly number[] }[] = [];
    for (const { name: label, address, isLoopback, family: own } of facts.addresses) {
      if (own !== family || isLoopback) continue;
      const name = interfaceName(label);
      const bytes = family === 6 ? expandIpv6(address) : '';
      const flags = ipv6Flags.get(`${bytes}@${name}`) ?? 0;
      if (!isUsable(flags)) continue;
      const carriesDefault = defaultMetrics[4].has(name) || defaultMetrics[6].has(name);
      candidates.push({
        address,
        order: [
          Number(family === 4 ? address.startsWith('169.254.') : isLinkLocal(bytes)),
          rank(name, facts.links, carriesDefault),
          defaultMetrics[family].get(name) ?? (carriesDefault ? 2 ** 32 : 2 ** 33),
          facts.links.get(name)?.index ?? 2 ** 31,
          Number((flags & IFA_F_DEPRECATED) !== 0),
          Number((flags & IFA_F_TEMPORARY) !== 0),
          Number(isUniqueLocal(bytes)),
        ],
      });
    }
    // Stable: addresses of equal standing stay as the kernel lists them, the primary one first
    candidates.sort((a, b) => compare(a.order, b.order));
    return [...new Set(candidates.map(({ address }) => address))];
  };
  return { ipv4: sorted(4), ipv6: sorted(6) };
}

function compare(a: readonly number[], b: readonly number[]): number {
  for (let i = 0; i < a.length; i++) {
    const difference = (a[i] as number) - (b[i] as number);
    if (difference !== 0) return difference;
  }
  return 0;
}

function rank(
  name: string,
  links: ReadonlyMap<string, LinkFacts>,
  carriesDefault: boolean,
): number {
  const link = links.get(name);
  if (link && isTunnel(link)) return Rank.tunnel;
  // Inside a container the way out is a plain virtual pair
  return carriesDefault || isReal(name, links, new Set()) ? Rank.real : Rank.virtual;
}

const isTunnel = (link: LinkFacts): boolean =>
  link.isTun ||
  link.deviceType === 'wireguard' ||
  (TUNNEL_TYPES.has(link.hardwareType) && !link.hasDevice);

/** Hardware, or built on hardware: a bond, a VLAN, a bridge with a card in it. */
function isReal(name: string, links: ReadonlyMap<string, LinkFacts>, seen: Set<string>): boolean {
  const link = links.get(name);
  if (!link || seen.has(name) || OVERLAY_DEVICE_TYPES.has(link.deviceType)) return false;
  seen.add(name);
  return link.hasDevice || link.lower.some((lower) => isReal(lower, links, seen));
}

/** An address that failed or awaits its duplicate check can't be called. */
function isUsable(flags: number): boolean {
  if (flags & IFA_F_DADFAILED) return false;
  return !(flags & IFA_F_TENTATIVE) || (flags & IFA_F_OPTIMISTIC) !== 0;
}

const isLinkLocal = (bytes: string): boolean => /^fe[89ab]/.test(bytes);
const isUniqueLocal = (bytes: string): boolean => /^f[cd]/.test(bytes);

/**
 * Best metric of a default route by interface. Columns: Iface Destination Gateway Flags RefCnt Use
 * Metric Mask..., numbers but the metric in hex.
 */
function ipv4DefaultMetrics(table: string): Map<string, number> {
  const metrics = new Map<string, number>();
  for (const line of table.split('\n')) {
    const [name, destination, , flags, , , metric, mask] = line.trim().split(/\s+/);
    if (destination === '00000000' && mask === '00000000')
      keepBest(metrics, name, flags, Number(metric));
  }
  return metrics;
}

/**
 * Columns: destination, prefix length, source, its length, next hop, metric, references, use,
 * flags, interface; numbers in hex.
 */
function ipv6DefaultMetrics(table: string): Map<string, number> {
  const metrics = new Map<string, number>();
  for (const line of table.split('\n')) {
    const [destination, length, , , , metric, , , flags, name] = line.trim().split(/\s+/);
    if (length === '00' && /^0{32}$/.test(destination ?? '')) {
      keepBest(metrics, name, flags, Number.parseInt(metric ?? '', 16));
    }
  }
  return metrics;
}

function keepBest(
  metrics: Map<string, number>,
  name: string | undefined,
  flagsHex: string | undefined,
  metric: number,
) {
  const flags = Number.parseInt(flagsHex ?? '', 16);
  if (!name || !(flags & RTF_UP) || flags & RTF_REJECT || Number.isNaN(metric)) return;
  metrics.set(name, Math.min(metric, metrics.get(name) ?? Number.POSITIVE_INFINITY));
}

/**
 * Flags by "<32 hex digits>@<interface>". Columns: address, index, prefix length, scope, flags,
 * interface; numbers in hex.
 */
function parseIpv6Flags(table: string): Map<string, number> {
  const flags = new Map<string, number>();
  for (const line of table.split('\n')) {
    const [address, , , , bits, name] = line.trim().split(/\s+/);
    if (name) flags.set(`${address}@${name}`, Number.parseInt(bits as string, 16));
  }
  return flags;
}

/** The 32 hex digits of an IPv6 address as inet_ntop(3) writes it; empty for what is none. */
export function expandIpv6(text: string): string {
  const dotted = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(text);
  if (dotted) {
    const hex = (high: string | undefined, low: string | undefined) =>
      (Number(high) * 256 + Number(low)).toString(16);
    return expandIpv6(`${dotted[1]}${hex(dotted[2], dotted[3])}:${hex(dotted[4], dotted[5])}`);
  }
  const [head = '', tail] = text.split('::');
  const groups = (part: string): string[] => (part === '' ? [] : part.split(':'));
  const left = groups(head);
  const right = groups(tail ?? '');
  const missing = tail === undefined ? 0 : 8 - left.length - right.length;
  if (missing < 0 || left.length + right.length + missing !== 8) return '';
  return [...left, ...new Array<string>(missing).fill('0'), ...right]
    .map((group) => group.padStart(4, '0'))
    .join('');
}
