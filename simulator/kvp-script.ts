import type { Behaviour } from './behaviours/behaviour.ts';
import { behaviours } from './behaviours/index.ts';
import type { Checks } from './checks.ts';
import type { Exchanges } from './exchanges.ts';
import type { Interruption } from './interruption.ts';
import { type Show, WIRE_NAMES } from './show/show.ts';
import type { StageSet } from './stage-set.ts';
import { describeExit, type Stage } from './stages/stage.ts';
import type { Wire } from './wire.ts';

/** What the KVP part of a script is made of. */
export interface KvpScriptParts {
  readonly show: Show;
  readonly interruption: Interruption;
  readonly stages: StageSet;
  readonly exchanges: Exchanges;
  readonly checks: Checks;
  /** Pauses of behaviours are at most this long. */
  readonly longestPauseMs: number;
}

/** Plays the KVP service once: exchanges, behaviours of hosts, and the daemon's end. */
export class KvpScript {
  readonly #parts: KvpScriptParts;

  constructor(parts: KvpScriptParts) {
    this.#parts = parts;
  }

  /** Plays all of KVP, or the chosen behaviours, over one wire. */
  async play(wire: Wire, chosen: readonly Behaviour[]): Promise<void> {
    const { stages } = this.#parts;
    const fits = (behaviour: Behaviour): boolean =>
      behaviour.wires.includes(wire) && (chosen.length === 0 || chosen.includes(behaviour));
    const playable = [...behaviours.values()].filter(fits);
    const serving = playable.filter(({ leaves }) => leaves === 'serving');
    if (serving.length > 0 || chosen.length === 0) {
      const stage = await stages.open(wire);
      if (chosen.length === 0) await this.#exchange(stage);
      for (const behaviour of serving) await this.#behave(stage, behaviour);
      await this.#stop(stage);
    }
    for (const behaviour of playable.filter(({ leaves }) => leaves === 'ended')) {
      const stage = await stages.open(wire);
      await this.#behave(stage, behaviour);
      await stages.close(stage);
    }
  }

  async #exchange(stage: Stage): Promise<void> {
    const { show, checks, exchanges } = this.#parts;
    const over = `over the ${WIRE_NAMES[stage.wire]}`;
    await checks.check(`look at the guest ${over}`, stage, async () =>
      show.view(await exchanges.look([stage])),
    );
    await checks.check(`guest to host ${over}`, stage, () =>
      exchanges.guestToHost(stage, 'planted by the guest'),
    );
    await checks.check(`host to guest ${over}`, stage, () =>
      exchanges.hostToGuest(stage, 'planted by the host'),
    );
  }

  async #behave(stage: Stage, behaviour: Behaviour): Promise<void> {
    const { show, checks, interruption, longestPauseMs } = this.#parts;
    const { name, description, manner } = behaviour;
    show.scene(`${manner === 'bad' ? 'Bad host' : 'Good host'}: ${description}`);
    const pause = (ms: number): Promise<void> => interruption.pause(Math.min(ms, longestPauseMs));
    const say = (text: string): void => show.say(text);
    const { signal } = interruption;
    await checks.check(`${name} over the ${WIRE_NAMES[stage.wire]}`, undefined, () =>
      stage.play(behaviour, { say, pause, signal }),
    );
  }

  async #stop(stage: Stage): Promise<void> {
    const { show, checks, stages } = this.#parts;
    const over = `over the ${WIRE_NAMES[stage.wire]}`;
    show.scene(`Stop ${over}`);
    await checks.check(`SIGTERM ends the daemon ${over}`, undefined, async () => {
      const exit = await stages.close(stage);
      if (exit?.code !== 0)
        throw new Error(`the daemon ended ${exit ? describeExit(exit) : 'before'}`);
    });
  }
}
