import { it } from 'node:test';
import { native } from '../../native/index.ts';
import { scenes } from '../host/scenes/index.ts';

/** Nobody watches: pauses are as short as they can be. */
const hand = {
  native,
  tap: () => {},
  onLog: () => {},
  say: () => {},
  pause: () => new Promise<void>((resolve) => setTimeout(resolve, 50)),
};

for (const { description, run } of scenes) it(description, () => run(hand));
