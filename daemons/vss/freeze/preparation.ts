import path from 'node:path';
import type { FreezeReport, Guard } from './guard-types.ts';
import { runHook } from './hooks.ts';
import type { FreezeNotes } from './notes.ts';
import type { Plan } from './plan.ts';
import type { FreezerContext } from './ports.ts';
import { doubtOf, logLeftBehind, logPlan } from './report.ts';
import type { Attempt, CompleteAttempt } from './states.ts';
import type { HookRun } from './status.ts';

/**
 * All freeze hooks together: the kernel awaits the answer to a freeze for 15 minutes
 * (VSS_FREEZE_TIMEOUT in drivers/hv/hv_snapshot.c).
 */
const ALL_HOOKS_MS = 10 * 60_000;

/** What a preparation comes to. */
export type Prepared =
  | { readonly result: 'frozen'; readonly freeze: CompleteAttempt }
  | { readonly result: 'failed'; readonly problem: string }
  /** Another process freezes; nothing was begun. */
  | { readonly result: 'busy'; readonly problem: string };

const failed = (problem: string): Prepared => ({ result: 'failed', problem });

/** One freeze from its plan to the guard's report. */
export class Preparation implements Attempt {
  readonly at: string;
  readonly hooks: string[] = [];
  readonly runs: HookRun[] = [];
  plan: Plan | undefined;
  guard: Guard | undefined;
  report: FreezeReport | undefined;
  readonly #context: FreezerContext;
  readonly #notes: FreezeNotes;
  readonly #beganMs: number;
  #stopped: string | undefined;

  constructor(context: FreezerContext, notes: FreezeNotes) {
    this.#context = context;
    this.#notes = notes;
    this.#beganMs = context.ports.now();
    this.at = context.ports.time().toISOString();
  }

  /** Why it was stopped. */
  get stopped(): string | undefined {
    return this.#stopped;
  }

  /** Breaks it off, at once where a hook runs or the guard freezes. */
  stop(why: string): void {
    this.#stopped = why;
    this.#context.ports.killHook();
    this.guard?.close();
  }

  /**
   * Plans, starts the guard, runs hooks and freezes. Never rejects. Calls `keep` with the guard as
   * soon as there is one.
   */
  async run(keep: (guard: Guard) => void): Promise<Prepared> {
    const { ports, log } = this.#context;
    try {
      const plan = ports.plan();
      this.plan = plan;
      logPlan(log, plan);
      const guard = await this.#startGuard();
      if (guard === undefined) return { result: 'busy', problem: 'another freeze is under way' };
      this.guard = guard;
      keep(guard);
      return await this.#freeze(plan, guard);
    } catch (error) {
      return failed(error instanceof Error ? error.message : String(error));
    }
  }

  /** Undefined: another process freezes. Rejects when no guard can be started. */
  async #startGuard(): Promise<Guard | undefined> {
    try {
      return await this.#context.ports.startGuard();
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'EBUSY') return undefined;
      throw error;
    }
  }

  async #freeze(plan: Plan, guard: Guard): Promise<Prepared> {
    const { ports, policy, log, logHold, by } = this.#context;
    logLeftBehind(log, guard.recovered);
    const { files, refused } = ports.hooks();
    for (const why of refused) log.warning('A freeze hook is not run', { why });
    this.#notes.begun(this);
    log.notice('Freezing', {
      for: by,
      fileSystems: plan.stages.flat().map(({ mountPoint }) => mountPoint),
    });
    await logHold.hold();
    const refusal = await this.#runHooks(files);
    if (this.#stopped !== undefined) return failed(this.#stopped);
    if (refusal !== undefined) return failed(refusal);
    const report = await Promise.race([
      guard.freeze(plan.stages, policy.limitSecs),
      guard.ended.then(({ problem, thaw }): FreezeReport => {
        const why = problem ?? doubtOf(thaw) ?? 'the guard ended';
        return { ok: false, problem: why, targets: [], preparedMs: 0, frozenMs: 0 };
      }),
    ]);
    this.report = report;
    if (this.#stopped !== undefined) return failed(this.#stopped);
    if (!report.ok) return failed(report.problem ?? 'not all could be frozen');
    const { at, hooks, runs } = this;
    return { result: 'frozen', freeze: { at, hooks, runs, plan, guard, report } };
  }

  /** Runs the hooks until one refuses, or until it is stopped. Returns why one refused. */
  async #runHooks(files: readonly string[]): Promise<string | undefined> {
    const { ports, policy } = this.#context;
    for (const file of files) {
      if (this.#stopped !== undefined) return undefined;
      const leftMs = ALL_HOOKS_MS - (ports.now() - this.#beganMs);
      if (leftMs <= 0) return `no time left for the hook ${file}: those before it took all of it`;
      this.hooks.push(file);
      this.#notes.begun(this);
      const timeoutMs = Math.min(policy.hookTimeoutMs, leftMs);
      const run = await runHook(this.#context, file, 'freeze', timeoutMs);
      this.runs.push(run);
      if (run.problem !== undefined && !policy.optionalHooks.includes(path.basename(file)))
        return `the hook ${file} refused: ${run.problem}`;
    }
    return undefined;
  }
}
