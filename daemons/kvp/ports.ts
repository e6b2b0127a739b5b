import type { MonotonicMs } from '../../runtime/clock.ts';
import type { Log } from '../../runtime/log.ts';
import type { NetworkFacts } from './network.ts';
import type { Patience, Pools } from './pools/index.ts';

/** A key of the auto pool as it is now. */
export interface AutoRecord {
  readonly key: string;
  readonly value: string;
}

/** The keys a guest computes about itself (pool 2). */
export interface AutoPool {
  /** What answers IntegrationServicesVersion from now on. */
  setIntegrationServicesVersion(version: string): void;
  /** The record hosts know under this index; undefined past the end. */
  at(index: number): AutoRecord | undefined;
  /** Its value by name; undefined when there is no such key. */
  get(key: string): string | undefined;
  has(key: string): boolean;
}

/** What the service needs of the operating system. */
export interface KvpPorts {
  readonly pools: Pick<Pools, 'get' | 'set' | 'delete' | 'at'>;
  readonly autoPool: AutoPool;
  /** A limited log: hosts can cause every line. */
  readonly log: Log;
  readonly patience: Patience;
  /** vmic's own version. */
  readonly version: string;
  /** Gives back what the ports hold. */
  close(): void;
}

/** What does not change while the guest runs. */
export interface OsFacts {
  /** Text of os-release, if there is one. */
  readonly osRelease: string | undefined;
  /** As uname(2) tells: "Linux", "6.1.0-18-amd64", "x86_64". */
  readonly sysName: string;
  readonly kernelRelease: string;
  readonly machine: string;
}

/** What the auto pool is computed from. */
export interface GuestSystem {
  readonly facts: OsFacts;
  readonly now: MonotonicMs;
  /** The host name as the kernel has it now. */
  hostName(): string;
  /**
   * Looks for the name with its domain, taking what time it takes; undefined when there is none to
   * be found.
   */
  resolveDomainName(hostName: string): Promise<string | undefined>;
  /** True when links or addresses may have changed since the last call. */
  networkChanged(): boolean;
  readNetwork(): NetworkFacts;
}
