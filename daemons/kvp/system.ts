import os from 'node:os';
import path from 'node:path';
import type { AddressWatch, Native } from '../../native/interface.ts';
import { monotonicMs } from '../../runtime/clock.ts';
import { listFolder, readText } from '../../runtime/files.ts';
import type { Log } from '../../runtime/log.ts';
import { domainNameFromHosts, searchDomains } from './domain-name.ts';
import {
  type InterfaceAddress,
  interfaceName,
  type LinkFacts,
  type NetworkFacts,
} from './network.ts';
import type { GuestSystem, OsFacts } from './ports.ts';

/** Where the system is looked at; "/" but in tests. */
const DEFAULT_ROOT = '/';

/** The running guest. */
export class LinuxGuest implements GuestSystem {
  readonly facts: OsFacts;
  readonly now = monotonicMs;
  readonly #root: string;
  readonly #addressWatch: AddressWatch | undefined;

  constructor(
    native: Pick<Native, 'watchAddresses'>,
    log: Pick<Log, 'warning'>,
    root = DEFAULT_ROOT,
  ) {
    this.#root = root;
    this.facts = {
      osRelease: this.#text('etc/os-release') ?? this.#text('usr/lib/os-release'),
      sysName: os.type(),
      kernelRelease: os.release(),
      machine: os.machine(),
    };
    try {
      this.#addressWatch = native.watchAddresses();
    } catch (error) {
      log.warning("Can't watch the network's addresses; they are read each time a host asks", {
        error,
      });
    }
  }

  hostName(): string {
    const name = os.hostname();
    // What the kernel calls itself before anybody has named it
    return name === '(none)' ? '' : name;
  }

  async resolveDomainName(hostName: string): Promise<string | undefined> {
    const fromHosts = domainNameFromHosts(this.#text('etc/hosts') ?? '', hostName);
    if (fromHosts !== undefined) return fromHosts;
    const domains = searchDomains(this.#text('etc/resolv.conf') ?? '');
    if (domains.length === 0) return undefined;
    // Loaded where it is needed: it costs memory, and its first use four threads
    const dns = await import('node:dns/promises');
    for (const domain of domains) {
      const name = `${hostName}.${domain}`;
      const found = await dns.lookup(`${name}.`, { all: true }).catch(() => []);
      // A name server that knows every name must not give us one
      const ours = new Set(this.#addresses().map(({ address }) => address));
      if (found.some(({ address }) => ours.has(address))) return name;
    }
    return undefined;
  }

  networkChanged(): boolean {
    return this.#addressWatch?.changed() ?? true;
  }

  readNetwork(): NetworkFacts {
    const addresses = this.#addresses();
    const links = new Map<string, LinkFacts>();
    const wanted = addresses
      .filter(({ isLoopback }) => !isLoopback)
      .map(({ name }) => interfaceName(name));
    for (const name of wanted) {
      if (links.has(name)) continue;
      const link = readLink(this.#root, name);
      if (!link) continue;
      links.set(name, link);
      // What it is built on counts as well, addresses or not
      wanted.push(...link.lower);
    }
    return {
      addresses,
      links,
      ipv4Routes: this.#text('proc/net/route') ?? '',
      ipv6Routes: this.#text('proc/net/ipv6_route') ?? '',
      ipv6Flags: this.#text('proc/net/if_inet6') ?? '',
    };
  }

  close(): void {
    this.#addressWatch?.close();
  }

  #addresses(): InterfaceAddress[] {
    return Object.entries(os.networkInterfaces()).flatMap(([name, infos = []]) =>
      infos.map(({ address, family, internal }) => ({
        name,
        address,
        family: family === 'IPv6' ? 6 : 4,
        isLoopback: internal,
      })),
    );
  }

  #text(file: string): string | undefined {
    return readText(path.join(this.#root, file));
  }
}

/** Returns what sysfs says of a network interface; undefined: it is gone. */
function readLink(root: string, name: string): LinkFacts | undefined {
  const folder = path.join(root, 'sys/class/net', name);
  const entries = listFolder(folder);
  if (entries.length === 0) return undefined; // gone since
  const number = (file: string): number =>
    Number(readText(path.join(folder, file))?.trim() ?? Number.NaN);
  return {
    index: number('ifindex'),
    hardwareType: number('type'),
    deviceType: /^DEVTYPE=(.*)$/m.exec(readText(path.join(folder, 'uevent')) ?? '')?.[1] ?? '',
    hasDevice: entries.includes('device'),
    isTun: entries.includes('tun_flags'),
    lower: entries
      .filter((entry) => entry.startsWith('lower_'))
      .map((entry) => entry.slice('lower_'.length)),
  };
}
