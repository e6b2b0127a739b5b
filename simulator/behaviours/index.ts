import { badBehaviours } from './bad.ts';
import type { Behaviour } from './behaviour.ts';
import { goodBehaviours } from './good.ts';

/** All behaviours by name: what tests and the demonstration play. */
export const behaviours: ReadonlyMap<string, Behaviour> = new Map(
  [...goodBehaviours, ...badBehaviours].map((behaviour) => [behaviour.name, behaviour]),
);
