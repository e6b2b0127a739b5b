import type { Native } from '../native/interface.ts';
import type { Interruption } from './interruption.ts';
import type { Stagehand } from './scenes/scene.ts';
import { type Show, WIRE_NAMES } from './show/show.ts';
import { openStages } from './stages/service-stage.ts';
import { Stage } from './stages/stage.ts';
import type { Wire } from './wire.ts';

/** The stages of the demonstration: opens them, and leaves none behind. */
export class StageSet {
  readonly #native: Native;
  readonly #show: Show;
  readonly #interruption: Interruption;
  readonly #stages = new Set<Stage>();

  constructor(native: Native, show: Show, interruption: Interruption) {
    this.#native = native;
    this.#show = show;
    this.#interruption = interruption;
  }

  /** Starts vmic-kvp and a host for it. */
  async open(wire: Wire): Promise<Stage> {
    this.#show.scene(`Start vmic-kvp over the ${WIRE_NAMES[wire]}`);
    const stage = Stage.prepare(wire, {
      native: this.#native,
      tap: (message) => this.#show.wire(message),
      onLog: (line) => this.#show.log(wire, line),
    });
    this.#stages.add(stage);
    await this.#interruption.unless(stage.startDaemon());
    this.#show.say(
      `process ${stage.daemon.pid}, ${stage.agreed}; pools in ${stage.ground.poolFolder}`,
    );
    return stage;
  }

  async close(stage: Stage): ReturnType<Stage['close']> {
    const exit = await stage.close();
    this.#stages.delete(stage);
    return exit;
  }

  /** What a scene plays with. */
  hand(wire: Wire, longestPauseMs: number): Stagehand {
    return {
      native: this.#native,
      tap: (message) => this.#show.wire(message),
      onLog: (line) => this.#show.log(wire, line),
      say: (text) => this.#show.say(text),
      progress: (file, doneBytes, sizeBytes) => this.#show.progress(file, doneBytes, sizeBytes),
      pause: (ms) => this.#interruption.pause(Math.min(ms, longestPauseMs)),
    };
  }

  async closeAll(): Promise<void> {
    await Promise.all([...this.#stages].map((stage) => stage.close()));
    this.#stages.clear();
    // Closes the last opened stage first, because it stands on those opened before it.
    for (const stage of [...openStages].reverse()) await stage.close();
  }

  /** Kills all daemons at once. Called when the process ends some other way. */
  abandonAll(): void {
    for (const stage of [...this.#stages, ...openStages]) stage.abandon();
  }
}
