/** The pools as people name them, by their number. */
export const POOLS: readonly { readonly name: string; readonly about: string }[] = [
  { name: 'external', about: 'the host writes it for this guest to read' },
  { name: 'guest', about: 'this guest writes it for the host to read' },
  { name: 'auto', about: 'vmic-kvp computes it when asked: OS, host name, addresses' },
  { name: 'auto-external', about: 'the host describes itself (HostName, VirtualMachineName)' },
  { name: 'auto-internal', about: 'kept for the host; normally empty' },
];

export const poolName = (pool: number): string => (POOLS[pool] as { name: string }).name;
