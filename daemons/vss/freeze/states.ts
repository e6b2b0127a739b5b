import type { FreezeReport, Guard } from './guard-types.ts';
import type { Plan } from './plan.ts';
import type { FreezeOutcome } from './ports.ts';
import type { Preparation } from './preparation.ts';
import type { HookRun } from './status.ts';

/** One freeze, as far as it came. */
export interface Attempt {
  /** When it began, in ISO 8601. */
  readonly at: string;
  /** Hooks that were called with "freeze", in this order. */
  readonly hooks: readonly string[];
  readonly runs: readonly HookRun[];
  readonly plan?: Plan | undefined;
  readonly guard?: Guard | undefined;
  readonly report?: FreezeReport | undefined;
}

/** A freeze that succeeded. */
export interface CompleteAttempt extends Attempt {
  readonly plan: Plan;
  readonly guard: Guard;
  readonly report: FreezeReport;
}

/** Nothing is frozen. */
export interface Idle {
  readonly name: 'idle';
}

/** From the plan to the guard's report. */
export interface Preparing {
  readonly name: 'preparing';
  readonly preparation: Preparation;
  /** Resolves when another state has begun. */
  readonly outcome: Promise<FreezeOutcome>;
}

/** The guard holds the freeze. */
export interface Frozen {
  readonly name: 'frozen';
  readonly freeze: CompleteAttempt;
}

/** The guard was told to thaw. */
export interface Thawing {
  readonly name: 'thawing';
  readonly guard: Guard;
}

/** Hooks, log and status are to be done, and then nothing of the freeze is left. */
export interface Clearing {
  readonly name: 'clearing';
  /** Undefined: none was started. */
  readonly guard: Guard | undefined;
}

export type FreezerState = Idle | Preparing | Frozen | Thawing | Clearing;

export const IDLE: Idle = { name: 'idle' };

/** Returns the guard of the freeze under way, if it has one by now. */
export function guardOf(state: FreezerState): Guard | undefined {
  switch (state.name) {
    case 'idle':
      return undefined;
    case 'preparing':
      return state.preparation.guard;
    case 'frozen':
      return state.freeze.guard;
    case 'thawing':
    case 'clearing':
      return state.guard;
  }
}
