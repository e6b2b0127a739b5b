import { KvpPool } from './types.ts';

interface PoolName {
  readonly name: string;
  /** One clause for people: who writes the pool, and for whom. */
  readonly about: string;
}

const NAMES: Readonly<Record<keyof typeof KvpPool, PoolName>> = {
  external: { name: 'external', about: 'the host writes it for this guest to read' },
  guest: { name: 'guest', about: 'this guest writes it for the host to read' },
  auto: { name: 'auto', about: 'vmic-kvp computes it when asked: OS, host name, addresses' },
  autoExternal: {
    name: 'auto-external',
    about: 'the host describes itself (HostName, VirtualMachineName)',
  },
  autoInternal: { name: 'auto-internal', about: 'kept for the host; normally empty' },
};

/** The pools as people name them, by their number. */
export const POOLS: readonly PoolName[] = Object.entries(KvpPool)
  .sort(([, one], [, other]) => one - other)
  .map(([pool]) => NAMES[pool as keyof typeof KvpPool]);

export const poolName = (pool: number): string => (POOLS[pool] as PoolName).name;
