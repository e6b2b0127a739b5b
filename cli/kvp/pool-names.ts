import { KvpPool } from '../../protocol/kvp/types.ts';
import { CommandError } from '../exit.ts';

/** The pools as people name them, by their number. */
export const POOLS: readonly { readonly name: string; readonly about: string }[] = [
  { name: 'external', about: 'the host writes it for this guest to read' },
  { name: 'guest', about: 'this guest writes it for the host to read' },
  { name: 'auto', about: 'vmic-kvp computes it when asked: OS, host name, addresses' },
  { name: 'auto-external', about: 'the host describes itself (HostName, VirtualMachineName)' },
  { name: 'auto-internal', about: 'kept for the host; normally empty' },
];

export const POOL_CHOICES: readonly string[] = [
  ...POOLS.map(({ name }) => name),
  ...POOLS.map((_, pool) => String(pool)),
];

export const ALL_POOLS: readonly number[] = Object.values(KvpPool);

export const poolName = (pool: number): string => (POOLS[pool] as { name: string }).name;

/** The pool's number from its name or number as text. */
export function parsePool(text: string): number {
  const byName = POOLS.findIndex(({ name }) => name === text);
  if (byName >= 0) return byName;
  if (/^\d$/.test(text) && Number(text) < POOLS.length) return Number(text);
  throw new CommandError('usage', `there is no pool "${text}"; there are ${POOL_CHOICES.join(', ')}`);
}

export const POOLS_HELP = `\
Pools:
${POOLS.map(({ name, about }, pool) => `  ${pool}  ${name.padEnd(13)}  ${about}`).join('\n')}`;
