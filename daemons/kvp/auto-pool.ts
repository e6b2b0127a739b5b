import { joinFitting } from './fit-text.ts';
import { type AddressLists, orderAddresses } from './network.ts';
import { parseOsRelease } from './os-release.ts';
import type { AutoPool, AutoRecord, GuestSystem, OsFacts } from './ports.ts';

/**
 * An address list reaches a host whole up to this many characters (see VALUE_LIMIT in service.ts).
 */
export const LIST_LIMIT_UNITS = 1022;

/**
 * Routes and duplicate checks settle without a notification we get, so what was read is not
 * believed for longer.
 */
const NETWORK_MAX_AGE_MS = 15_000;
const DOMAIN_NAME_MAX_AGE_MS = 300_000;
/** How soon an unresolved name is tried again: the network may not have been up yet. */
const DOMAIN_NAME_RETRY_MS = 30_000;

/**
 * The ten keys Linux guests report, in the order of their indexes (source:
 * tools/hv/hv_kvp_daemon.c, enum key_index).
 */
export class GuestAutoPool implements AutoPool {
  readonly #keys: readonly (readonly [key: string, value: () => string])[];
  readonly #byName: ReadonlyMap<string, () => string>;
  #integrationServicesVersion: string;

  constructor(system: GuestSystem, integrationServicesVersion: string) {
    this.#integrationServicesVersion = integrationServicesVersion;
    const os = describeOs(system.facts);
    const domainName = new DomainName(system);
    const network = new Network(system);
    this.#keys = [
      ['FullyQualifiedDomainName', () => domainName.current()],
      ['IntegrationServicesVersion', () => this.#integrationServicesVersion],
      ['NetworkAddressIPv4', () => network.current().ipv4],
      ['NetworkAddressIPv6', () => network.current().ipv6],
      ['OSBuildNumber', () => system.facts.kernelRelease],
      ['OSName', () => os.name],
      ['OSMajorVersion', () => os.majorVersion],
      // VERSION_ID is in the major version whole, as hosts have always got it
      ['OSMinorVersion', () => ''],
      ['OSVersion', () => os.version],
      ['ProcessorArchitecture', () => system.facts.machine],
    ];
    this.#byName = new Map(this.#keys);
  }

  setIntegrationServicesVersion(version: string): void {
    this.#integrationServicesVersion = version;
  }

  at(index: number): AutoRecord | undefined {
    const entry = this.#keys[index];
    return entry && { key: entry[0], value: entry[1]() };
  }

  get(key: string): string | undefined {
    return this.#byName.get(key)?.();
  }

  has(key: string): boolean {
    return this.#byName.has(key);
  }
}

function describeOs(facts: OsFacts): { name: string; majorVersion: string; version: string } {
  const release = parseOsRelease(facts.osRelease ?? '');
  return {
    name: release.get('NAME') || facts.sysName,
    majorVersion: release.get('VERSION_ID') ?? '',
    // Hosts expect x.y.z without a distribution's suffix
    version: facts.kernelRelease.split('-', 1)[0] as string,
  };
}

/** The host name at once, and with its domain as soon as that is known. */
class DomainName {
  readonly #system: GuestSystem;
  #hostName: string | undefined;
  #resolved: string | undefined;
  #resolving = false;
  #dueMs = 0;

  constructor(system: GuestSystem) {
    this.#system = system;
    this.current();
  }

  current(): string {
    const hostName = this.#system.hostName();
    if (hostName !== this.#hostName) {
      this.#hostName = hostName;
      this.#resolved = undefined;
      this.#dueMs = 0;
    }
    if (hostName.includes('.') || hostName === '') return hostName;
    if (!this.#resolving && this.#system.now() >= this.#dueMs) void this.#resolve(hostName);
    return this.#resolved ?? hostName;
  }

  async #resolve(hostName: string): Promise<void> {
    this.#resolving = true;
    const resolved = await this.#system.resolveDomainName(hostName).catch(() => undefined);
    this.#resolving = false;
    if (hostName !== this.#hostName) return;
    this.#resolved = resolved;
    this.#dueMs =
      this.#system.now() + (resolved === undefined ? DOMAIN_NAME_RETRY_MS : DOMAIN_NAME_MAX_AGE_MS);
  }
}

/** The address lists, read anew only when they may have changed. */
class Network {
  readonly #system: GuestSystem;
  #lists: { readonly ipv4: string; readonly ipv6: string } | undefined;
  #readAtMs = 0;

  constructor(system: GuestSystem) {
    this.#system = system;
  }

  current(): { readonly ipv4: string; readonly ipv6: string } {
    const { now } = this.#system;
    // Asked before reading: what changes in between shows the next time
    const changed = this.#system.networkChanged();
    if (!this.#lists || changed || now() - this.#readAtMs > NETWORK_MAX_AGE_MS) {
      this.#readAtMs = now();
      const { ipv4, ipv6 }: AddressLists = orderAddresses(this.#system.readNetwork());
      this.#lists = {
        ipv4: joinFitting(ipv4, LIST_LIMIT_UNITS),
        ipv6: joinFitting(ipv6, LIST_LIMIT_UNITS),
      };
    }
    return this.#lists;
  }
}
