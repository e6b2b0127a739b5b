import type { Aftermath } from './aftermath.ts';
import { clearUp } from './clearing.ts';
import type { FreezeNotes } from './notes.ts';
import type { FreezeOutcome, FreezerContext, ThawOutcome } from './ports.ts';
import { Preparation, type Prepared } from './preparation.ts';
import { doubtOf, type Ending } from './report.ts';
import { type Attempt, type FreezerState, type Frozen, IDLE } from './states.ts';
import type { FreezeRecord } from './status.ts';

/** The guard's limit has to have passed by then. */
const LIMIT_MARGIN_MS = 2000;
const LATE = 'the limit had passed, and the guard said nothing';

/** Goes from idle to preparing, frozen, thawing, clearing, and to idle again. */
export class FreezeCycle {
  readonly #context: FreezerContext;
  readonly #notes: FreezeNotes;
  readonly #aftermath: Aftermath;
  readonly #onEarly: (why: string) => void;
  #state: FreezerState = IDLE;
  #last: FreezeRecord | undefined;

  /** `onEarly` is told when a freeze ends before its asker says so. */
  constructor(
    context: FreezerContext,
    notes: FreezeNotes,
    aftermath: Aftermath,
    onEarly: (why: string) => void,
  ) {
    this.#context = context;
    this.#notes = notes;
    this.#aftermath = aftermath;
    this.#onEarly = onEarly;
  }

  get state(): FreezerState {
    return this.#state;
  }

  /** The last freeze that is over. */
  get last(): FreezeRecord | undefined {
    return this.#last;
  }

  /** Idle -> preparing. */
  begin(): Promise<FreezeOutcome> {
    const preparation = new Preparation(this.#context, this.#notes);
    const outcome = preparation
      .run((guard) => this.#aftermath.keep(guard.ended))
      .then((prepared) => this.#conclude(preparation, prepared));
    this.#state = { name: 'preparing', preparation, outcome };
    return outcome;
  }

  /** Frozen -> thawing. `early`: why it thaws though its asker did not say so. */
  thaw({ freeze }: Frozen, early?: string): Promise<ThawOutcome> {
    const { guard } = freeze;
    this.#state = { name: 'thawing', guard };
    const thawed = guard.thaw().then((thaw) => {
      const problem = doubtOf(thaw) ?? early;
      const result = thaw.reason === 'told' && early === undefined ? 'thawed' : 'early';
      const told = result === 'early' && early === undefined;
      return { problem, thaw, cleared: this.#clear(freeze, { result, problem, thaw, told }) };
    });
    this.#aftermath.clear(thawed.then(({ cleared }) => cleared));
    return thawed.then(({ thaw, problem }) => ({ was: 'frozen', report: thaw, problem }));
  }

  /** Frozen -> thawing, before its asker says so. */
  thawEarly(frozen: Frozen, why: string): void {
    this.#onEarly(why);
    void this.thaw(frozen, why);
  }

  /** Preparing -> frozen, clearing or idle. */
  #conclude(preparation: Preparation, prepared: Prepared): FreezeOutcome {
    if (prepared.result === 'busy') {
      this.#state = IDLE;
      return { ok: false, problem: prepared.problem, busy: true };
    }
    if (prepared.result === 'failed') return this.#fail(preparation, prepared.problem);
    if (preparation.stopped !== undefined) return this.#fail(preparation, preparation.stopped);
    const { freeze } = prepared;
    this.#hold({ name: 'frozen', freeze });
    return { ok: true, plan: freeze.plan, report: freeze.report };
  }

  #fail(preparation: Preparation, problem: string): FreezeOutcome {
    const ending: Ending = { result: 'failed', problem, thaw: undefined, told: false };
    this.#aftermath.clear(this.#clear(preparation, ending));
    return { ok: false, problem, busy: false };
  }

  #hold(frozen: Frozen): void {
    const { ports, policy } = this.#context;
    this.#state = frozen;
    // The guard's own limit comes first, unless it holds nothing, when only hooks wait
    const cancel = ports.after(policy.limitSecs * 1000 + LIMIT_MARGIN_MS, () => {
      if (this.#state === frozen) this.thawEarly(frozen, LATE);
    });
    void frozen.freeze.guard.ended.then(({ thaw, problem: why }) => {
      cancel();
      if (this.#state !== frozen) return;
      const problem = doubtOf(thaw) ?? why ?? 'the guard ended';
      this.#onEarly(problem);
      const ending: Ending = { result: 'early', problem, thaw, told: false };
      this.#aftermath.clear(this.#clear(frozen.freeze, ending));
    });
  }

  /** Any state -> clearing -> idle. */
  async #clear(freeze: Attempt, ending: Ending): Promise<void> {
    this.#state = { name: 'clearing', guard: freeze.guard };
    this.#last = await clearUp(this.#context, this.#notes, freeze, ending);
    this.#state = IDLE;
  }
}
