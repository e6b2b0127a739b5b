import { it } from 'node:test';
import { native } from '../../native/index.ts';
import { scenes } from '../../simulator/scenes/index.ts';

/** Nobody watches: pauses are as short as they can be. */
const hand = {
  native,
  tap: () => {},
  onLog: () => {},
  say: () => {},
  progress: () => {},
  pause: () => new Promise<void>((resolve) => setTimeout(resolve, 50)),
};

for (const { description, wires, run } of scenes) {
  for (const wire of wires) it(`${description}, over ${wire}`, () => run(hand, wire));
}
