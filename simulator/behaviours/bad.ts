import { badBodies } from './bad-bodies.ts';
import { badLinks } from './bad-links.ts';
import type { Behaviour } from './behaviour.ts';
import { corruptions } from './corruptions.ts';

/** What no correct host does. */
export const badBehaviours: readonly Behaviour[] = [...badBodies, ...badLinks, ...corruptions()];
