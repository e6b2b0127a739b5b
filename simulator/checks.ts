import { Interrupted, type Interruption } from './interruption.ts';
import type { Show } from './show/show.ts';
import type { Stage } from './stages/stage.ts';

/** Counts the steps of a run that were right and wrong, and shows each. */
export class Checks {
  readonly #show: Show;
  readonly #interruption: Interruption;
  count = 0;
  failures = 0;

  constructor(show: Show, interruption: Interruption) {
    this.#show = show;
    this.#interruption = interruption;
  }

  /** Runs one step. A wrong step is shown, and the run goes on. */
  async check(what: string, stage: Stage | undefined, work: () => Promise<void>): Promise<void> {
    this.count++;
    try {
      await this.#interruption.unless(stage ? stage.alive(work()) : work());
      this.#show.result(what);
    } catch (error) {
      if (error instanceof Interrupted) throw error;
      this.failures++;
      this.#show.result(what, error as Error);
      // All that follows would fail too, because the stage's daemon has ended.
      if (stage?.daemon.exit) throw error;
    }
  }

  /** The last words of a run. */
  get summary(): string {
    return this.failures === 0
      ? `All ${this.count} checks passed.`
      : `${this.failures} of ${this.count} checks failed.`;
  }
}
