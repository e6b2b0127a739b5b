import type { Native } from '../native/interface.ts';
import { Checks } from './checks.ts';
import { type Command, EXIT } from './command-line.ts';
import { Exchanges } from './exchanges.ts';
import { GuestProgram } from './guest-program.ts';
import { Interrupted, Interruption } from './interruption.ts';
import { KvpScript } from './kvp-script.ts';
import { live } from './live.ts';
import { scenes } from './scenes/index.ts';
import type { ServiceScene } from './scenes/scene.ts';
import { type Show, WIRE_NAMES } from './show/show.ts';
import { StageSet } from './stage-set.ts';
import type { Wire } from './wire.ts';

/** Long pauses are for an audience; a script that runs through once has none. */
const SCRIPT_PAUSE_MS = 100;

/** One run of the simulated host, with all that it opens. */
export class Simulation {
  readonly #command: Command;
  readonly #show: Show;
  readonly #interruption: Interruption;
  readonly #stages: StageSet;
  readonly #program: GuestProgram;
  readonly #exchanges: Exchanges;
  readonly #checks: Checks;
  readonly #kvp: KvpScript;

  constructor(native: Native, command: Command, show: Show, signal: AbortSignal) {
    this.#command = command;
    this.#show = show;
    this.#interruption = new Interruption(signal);
    this.#stages = new StageSet(native, show, this.#interruption);
    this.#program = new GuestProgram(show, signal);
    this.#exchanges = new Exchanges(show, this.#program);
    this.#checks = new Checks(show, this.#interruption);
    this.#kvp = new KvpScript({
      show,
      interruption: this.#interruption,
      stages: this.#stages,
      exchanges: this.#exchanges,
      checks: this.#checks,
      longestPauseMs: SCRIPT_PAUSE_MS,
    });
  }

  /** Plays what the command line asks for. Resolves to the exit status. */
  async run(): Promise<number> {
    const { once, chosen, scenes: played } = this.#command;
    const isScript = once || chosen.length > 0 || played.length > 0;
    try {
      if (isScript) await this.#script();
      else await live(this.#liveParts());
    } catch (error) {
      if (!(error instanceof Interrupted)) throw error;
      this.#show.end(!isScript, 'Interrupted.');
      return isScript ? EXIT.interrupted : EXIT.ok;
    }
    const isOk = this.#checks.failures === 0;
    this.#show.end(isOk, this.#checks.summary);
    return isOk ? EXIT.ok : EXIT.failure;
  }

  /** Leaves no process and no file behind. */
  async close(): Promise<void> {
    // The guest's program ends first, because it could write into a folder already removed.
    await this.#program.end();
    await this.#stages.closeAll();
  }

  /** Kills all daemons at once. Called when the process ends some other way. */
  killAll(): void {
    this.#stages.abandonAll();
  }

  async #script(): Promise<void> {
    const { chosen, scenes: played, wires } = this.#command;
    // Scenes alone need no KVP stage.
    if (chosen.length > 0 || played.length === 0 || played === scenes) {
      for (const wire of wires) await this.#kvp.play(wire, chosen);
    }
    for (const scene of played) {
      for (const wire of wires.filter((one) => scene.wires.includes(one))) {
        await this.#playScene(scene, wire, SCRIPT_PAUSE_MS);
      }
    }
  }

  async #playScene(scene: ServiceScene, wire: Wire, longestPauseMs: number): Promise<void> {
    const { name, service, description, run } = scene;
    this.#show.scene(`${service}: ${description}`);
    const hand = this.#stages.hand(wire, longestPauseMs);
    await this.#checks.check(`${name} over the ${WIRE_NAMES[wire]}`, undefined, () =>
      run(hand, wire),
    );
  }

  #liveParts(): Parameters<typeof live>[0] {
    const { wires, intervalMs } = this.#command;
    return {
      wires,
      intervalMs,
      show: this.#show,
      interruption: this.#interruption,
      stages: this.#stages,
      exchanges: this.#exchanges,
      playScene: (scene, wire) => this.#playScene(scene, wire, intervalMs),
    };
  }
}
