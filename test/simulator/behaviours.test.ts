import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { native } from '../../native/index.ts';
import { behaviours } from '../../simulator/behaviours/index.ts';
import { Stage } from '../../simulator/stages/stage.ts';
import { WIRES } from '../../simulator/wire.ts';

/** Nobody watches: pauses are as short as they can be. */
const audience = {
  say: () => {},
  pause: () => new Promise<void>((resolve) => setTimeout(resolve, 20)),
  signal: new AbortController().signal,
};

for (const wire of WIRES) {
  const own = [...behaviours.values()].filter((behaviour) => behaviour.wires.includes(wire));

  describe(`the daemon over ${wire}`, () => {
    let stage: Stage;
    before(async () => {
      stage = await Stage.open(wire, { native });
    });
    after(() => stage.close());

    for (const behaviour of own.filter(({ leaves }) => leaves === 'serving')) {
      it(`serves a ${behaviour.manner} host and goes on: ${behaviour.description}`, () =>
        stage.play(behaviour, audience));
    }

    it('stops on SIGTERM with status 0, having said nothing that is no log line', async () => {
      assert.deepEqual(await stage.daemon.stop(), { code: 0, signal: null });
      assert.deepEqual(stage.daemon.noise, []);
    });
  });

  for (const behaviour of own.filter(({ leaves }) => leaves === 'ended')) {
    it(`ends with its reason when hosts ${behaviour.description}`, async () => {
      const stage = await Stage.open(wire, { native });
      try {
        await stage.play(behaviour, audience);
      } finally {
        await stage.close();
      }
    });
  }
}
