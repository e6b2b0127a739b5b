import { Aftermath } from './aftermath.ts';
import { FreezeCycle } from './cycle.ts';
import type { Recovery } from './guard-types.ts';
import { FreezeNotes } from './notes.ts';
import type { FreezeOutcome, FreezerContext, ThawOutcome } from './ports.ts';
import { recover, unheardOf } from './recovery.ts';
import { guardOf } from './states.ts';
import type { CurrentFreeze, FreezeRecord } from './status.ts';

/**
 * Freezes and thaws, with all that belongs to it: plan, hooks, guard, status, log. One freeze at a
 * time. Nothing is logged and no file is written from before the first hook until after the thaw.
 */
export class Freezer {
  readonly #context: FreezerContext;
  readonly #notes: FreezeNotes;
  readonly #aftermath: Aftermath;
  readonly #cycle: FreezeCycle;
  /** Why the last freeze ended early, until its asker has heard it. */
  #unheard: string | undefined;

  constructor(context: FreezerContext) {
    this.#context = context;
    this.#notes = new FreezeNotes(context);
    this.#aftermath = new Aftermath(context.log);
    this.#cycle = new FreezeCycle(context, this.#notes, this.#aftermath, (why) => {
      this.#unheard = why;
    });
  }

  /**
   * From the beginning of a freeze until all is cleared up after the thaw, also of one that another
   * process left behind.
   */
  get busy(): boolean {
    return this.#cycle.state.name !== 'idle' || this.#aftermath.isPending;
  }

  /**
   * Resolves when the last freeze has ended and is cleared up after, however it ends; undefined
   * when there was none.
   */
  async over(): Promise<FreezeRecord | undefined> {
    await guardOf(this.#cycle.state)?.ended;
    await this.#aftermath.cleared;
    return this.#cycle.last;
  }

  /**
   * Clears up what a process left behind that ended in the middle of a freeze. The next freeze
   * waits for it. `last` is the newest freeze on record: if it did not last, as `current` did not,
   * its asker may not have heard that.
   */
  recover(current: CurrentFreeze | undefined, last?: FreezeRecord): Promise<Recovery> {
    this.#unheard = unheardOf(this.#context.by, current, last);
    const recovered = recover(this.#context, this.#notes, current);
    this.#aftermath.clear(recovered.then(() => {}));
    return recovered;
  }

  async freeze(): Promise<FreezeOutcome> {
    await this.#aftermath.cleared;
    if (this.#cycle.state.name !== 'idle')
      return { ok: false, problem: 'a freeze is under way', busy: true };
    this.#unheard = undefined;
    return this.#cycle.begin();
  }

  thaw(): Promise<ThawOutcome> {
    const { state } = this.#cycle;
    if (state.name === 'frozen') return this.#cycle.thaw(state);
    const early = this.#unheard;
    this.#unheard = undefined;
    if (early !== undefined)
      this.#aftermath.clear(this.#aftermath.cleared.then(() => this.#notes.told()));
    return Promise.resolve({ was: 'not-frozen', early });
  }

  /**
   * Thaws, or breaks off a freeze that is not complete; resolves when all is cleared up. The guard
   * has its order before this returns.
   */
  async stop(why: string): Promise<void> {
    const { state } = this.#cycle;
    if (state.name === 'frozen') {
      this.#cycle.thawEarly(state, why);
    } else if (state.name === 'preparing') {
      state.preparation.stop(why);
      await state.outcome;
    }
    await this.#aftermath.cleared;
  }
}
