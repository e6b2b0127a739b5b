import { POOLS } from '../../protocol/kvp/pool-names.ts';
import { KvpPool } from '../../protocol/kvp/types.ts';
import { CommandError } from '../exit.ts';

export const POOL_CHOICES: readonly string[] = [
  ...POOLS.map(({ name }) => name),
  ...POOLS.map((_, pool) => String(pool)),
];

export const ALL_POOLS: readonly number[] = Object.values(KvpPool);

/** The pool's number from its name or number as text. */
export function parsePool(text: string): number {
  const byName = POOLS.findIndex(({ name }) => name === text);
  if (byName >= 0) return byName;
  if (/^\d$/.test(text) && Number(text) < POOLS.length) return Number(text);
  throw new CommandError(
    'usage',
    `there is no pool "${text}"; there are ${POOL_CHOICES.join(', ')}`,
  );
}

export const POOLS_HELP = `\
Pools:
${POOLS.map(({ name, about }, pool) => `  ${pool}  ${name.padEnd(13)}  ${about}`).join('\n')}`;
