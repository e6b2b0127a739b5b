import path from 'node:path';
import type { MonotonicMs } from '../../../runtime/clock.ts';
import type { Executables, Outcome } from '../../../runtime/executables.ts';
import type { Log, LogHold } from '../../../runtime/log.ts';
import type { ProcessIdentity } from '../../../runtime/status/status-file.ts';
import { printable } from '../../../runtime/text.ts';
import type { FreezeReport, Guard, Recovery, TargetResult, ThawReport } from './guard-types.ts';
import type { Plan, Skipped } from './plan.ts';
import type {
  Asker,
  CurrentFreeze,
  FreezeRecord,
  FreezeResult,
  FrozenVolume,
  HookRun,
  VssStatus,
} from './status.ts';
import { KEPT_RECORDS } from './status.ts';

/**
 * All freeze hooks together: the kernel awaits the answer to a freeze for 15 minutes
 * (VSS_FREEZE_TIMEOUT in drivers/hv/hv_snapshot.c).
 */
const ALL_HOOKS_MS = 10 * 60_000;
/** The guard's limit has to have passed by then. */
const LIMIT_MARGIN_MS = 2000;
/** Of what a hook prints, this much gets into the log. */
const SHOWN_CHARACTERS = 2000;
const INTERRUPTED = 'the process that froze has ended, and all was thawed';

/** What a freeze needs of the system. */
export interface FreezerPorts {
  /** What would be frozen now. Throws when that can't be found out. */
  plan(): Plan;
  /** Rejects when no guard can be started; EBUSY: somebody else freezes. */
  startGuard(): Promise<Guard>;
  /** Thaws what a guard that was killed left frozen. Never rejects. */
  thawRecorded(): Promise<Recovery>;
  hooks(): Executables;
  /** Never rejects. */
  runHook(file: string, argument: 'freeze' | 'thaw', timeoutMs: number): Promise<Outcome>;
  /** Ends a hook that runs. */
  killHook(): void;
  /** Throws what the file system does. */
  changeStatus(change: (status: VssStatus) => VssStatus): void;
  readonly self: ProcessIdentity;
  identityOf(pid: number): ProcessIdentity;

  readonly now: MonotonicMs;
  time(): Date;
  /** Gives what calls it off. */
  after(ms: number, work: () => void): () => void;
}

export interface FreezePolicy {
  readonly limitSecs: number;
  readonly hookTimeoutMs: number;
  /** Names of hooks whose failure does not matter. */
  readonly optionalHooks: readonly string[];
}

export interface FreezerContext {
  readonly ports: FreezerPorts;
  readonly policy: FreezePolicy;
  readonly log: Log;
  readonly logHold: LogHold;
  readonly by: Asker;
}

export type FreezeOutcome =
  | { readonly ok: true; readonly plan: Plan; readonly report: FreezeReport }
  /** busy: by another freeze, which goes on. */
  | { readonly ok: false; readonly problem: string; readonly busy: boolean };

export type ThawOutcome =
  /** `problem`: what was copied meanwhile may not be consistent. */
  | { readonly was: 'frozen'; readonly report: ThawReport; readonly problem: string | undefined }
  /** `early`: why the last freeze ended before; told once. */
  | { readonly was: 'not-frozen'; readonly early: string | undefined };

interface Freeze {
  readonly atMs: number;
  readonly at: string;
  plan: Plan | undefined;
  guard: Guard | undefined;
  report: FreezeReport | undefined;
  /** Called with "freeze" and not yet with "thaw". */
  readonly hooks: string[];
  readonly runs: HookRun[];
  /** Why it is not to go on. */
  stop: string | undefined;
  /** It is being thawed and cleared up. */
  ending: boolean;
}

/**
 * Freezes and thaws, with all that belongs to it: plan, hooks, guard, status, log. One freeze at a
 * time. Nothing is logged and no file is written from before the first hook until after the thaw.
 */
export class Freezer {
  readonly #context: FreezerContext;
  #freeze: Freeze | undefined;
  #freezing: Promise<unknown> | undefined;
  /** What is done after the answer: hooks, log, status. */
  #clearing: Promise<void> = Promise.resolve();
  #clearings = 0;
  /**
   * Guards that have not ended: one may still be trying to thaw when everybody else has given up.
   */
  #guards = 0;
  /** Why the last freeze ended before somebody asked. */
  #early: string | undefined;
  #last: FreezeRecord | undefined;

  constructor(context: FreezerContext) {
    this.#context = context;
  }

  /**
   * From the beginning of a freeze until all is cleared up after the thaw, also of one that another
   * process left behind.
   */
  get busy(): boolean {
    return this.#freeze !== undefined || this.#clearings > 0 || this.#guards > 0;
  }

  /**
   * Resolves when the last freeze has ended and is cleared up after, however that comes; undefined
   * when there was none.
   */
  async over(): Promise<FreezeRecord | undefined> {
    await this.#freeze?.guard?.ended;
    await this.#clearing;
    return this.#last;
  }

  /**
   * Clears up what a process left behind that ended in the middle of a freeze. A freeze of this
   * object waits for it. `last` is the newest freeze on record: of one that did not last, as of
   * `current`, whoever asked for it may not have heard.
   */
  recover(current: CurrentFreeze | undefined, last?: FreezeRecord): Promise<Recovery> {
    const isNews =
      last?.told !== true && (last?.result === 'early' || last?.result === 'interrupted');
    const lost = current ?? (isNews ? last : undefined);
    if (lost?.by === this.#context.by)
      this.#early = ('problem' in lost ? lost.problem : undefined) ?? INTERRUPTED;
    const recovered = this.#recover(current);
    this.#clear(recovered.then(() => {}));
    return recovered;
  }

  freeze(): Promise<FreezeOutcome> {
    const freezing = this.#begin();
    this.#freezing = freezing;
    return freezing;
  }

  thaw(): Promise<ThawOutcome> {
    const freeze = this.#freeze;
    if (freeze?.report?.ok && !freeze.ending) return this.#thaw(freeze, undefined);
    const early = this.#early;
    this.#early = undefined;
    if (early !== undefined) this.#clear(this.#clearing.then(() => this.#markTold()));
    return Promise.resolve({ was: 'not-frozen', early });
  }

  /**
   * Thaws, or breaks off a freeze that is not complete; resolves when all is cleared up. The guard
   * has its order before this returns.
   */
  async stop(why: string): Promise<void> {
    const freeze = this.#freeze;
    if (freeze !== undefined && !freeze.ending) {
      if (freeze.report?.ok) {
        this.#early = why;
        void this.#thaw(freeze, why);
      } else {
        freeze.stop = why;
        this.#context.ports.killHook();
        freeze.guard?.close();
        await this.#freezing;
      }
    }
    await this.#clearing;
  }

  async #begin(): Promise<FreezeOutcome> {
    await this.#clearing;
    if (this.#freeze) return { ok: false, problem: 'a freeze is under way', busy: true };
    const { ports } = this.#context;
    const freeze: Freeze = {
      atMs: ports.now(),
      at: ports.time().toISOString(),
      plan: undefined,
      guard: undefined,
      report: undefined,
      hooks: [],
      runs: [],
      stop: undefined,
      ending: false,
    };
    this.#freeze = freeze;
    this.#early = undefined;
    let failure: { problem: string; busy: boolean } | undefined;
    try {
      failure = await this.#attempt(freeze);
    } catch (error) {
      failure = { problem: (error as Error).message, busy: false };
    }
    if (failure?.busy) {
      // Nothing was begun
      this.#freeze = undefined;
      return { ok: false, ...failure };
    }
    if (failure) {
      this.#clear(this.#clearUp(freeze, 'failed', failure.problem, undefined));
      return { ok: false, ...failure };
    }
    const { plan, report, guard } = freeze as { plan: Plan; report: FreezeReport; guard: Guard };
    // The guard's own comes first, where it holds anything: where not, hooks do
    const late = 'the limit had passed, and the guard said nothing';
    const cancel = ports.after(this.#context.policy.limitSecs * 1000 + LIMIT_MARGIN_MS, () => {
      if (freeze.ending) return;
      this.#early = late;
      void this.#thaw(freeze, late);
    });
    void guard.ended.then((end) => {
      cancel();
      if (freeze.ending) return;
      this.#early = wordsOf(end.thaw) ?? end.problem ?? 'the guard ended';
      this.#clear(this.#clearUp(freeze, 'early', this.#early, end.thaw));
    });
    return { ok: true, plan, report };
  }

  /** @param early why it is thawed though nobody asked */
  #thaw(freeze: Freeze, early: string | undefined): Promise<ThawOutcome> {
    freeze.ending = true;
    const thawing = (freeze.guard as Guard).thaw();
    const ended = thawing.then((report) => {
      const problem = wordsOf(report) ?? early;
      const result = report.reason === 'told' && early === undefined ? 'thawed' : 'early';
      return {
        report,
        problem,
        cleared: this.#clearUp(freeze, result, problem, report, early === undefined),
      };
    });
    this.#clear(ended.then(({ cleared }) => cleared));
    return ended.then(({ report, problem }) => ({ was: 'frozen', report, problem }));
  }

  #clear(work: Promise<void>): void {
    this.#clearings++;
    this.#clearing = work
      .catch((error) => {
        this.#context.log.critical('Clearing up after a freeze failed', {
          error,
          stack: (error as Error).stack,
        });
      })
      .finally(() => {
        this.#clearings--;
      });
  }

  /**
   * That the newest freeze ended too early was said to whoever asked for it: a later process must
   * not say it again.
   */
  #markTold(): void {
    const { by } = this.#context;
    this.#change(({ freezes: [newest, ...others], ...status }) => ({
      ...status,
      freezes:
        newest === undefined
          ? []
          : [newest.by === by ? { ...newest, told: true } : newest, ...others],
    }));
  }

  async #attempt(freeze: Freeze): Promise<{ problem: string; busy: boolean } | undefined> {
    const { ports, policy, log, logHold, by } = this.#context;
    const failed = (problem: string) => ({ problem, busy: false });
    freeze.plan = ports.plan();
    this.#tell(freeze.plan);
    try {
      freeze.guard = await ports.startGuard();
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      return code === 'EBUSY'
        ? { problem: 'another freeze is under way', busy: true }
        : failed(message);
    }
    const { guard } = freeze;
    this.#guards++;
    void guard.ended.finally(() => {
      this.#guards--;
    });
    if (guard.recovered.length > 0) {
      log.warning('Thawed what an earlier freeze had left behind', {
        mountPoints: guard.recovered,
      });
    }
    const { files, refused } = ports.hooks();
    for (const why of refused) log.warning('A freeze hook is not run', { why });
    this.#note(freeze);
    log.notice('Freezing', {
      for: by,
      fileSystems: freeze.plan.stages.flat().map(({ mountPoint }) => mountPoint),
    });
    await logHold.hold();
    for (const file of files) {
      if (freeze.stop !== undefined) break;
      const leftMs = ALL_HOOKS_MS - (ports.now() - freeze.atMs);
      if (leftMs <= 0)
        return failed(`no time left for the hook ${file}: those before it took all of it`);
      freeze.hooks.push(file);
      this.#note(freeze);
      const problem = await this.#runHook(
        freeze.runs,
        file,
        'freeze',
        Math.min(policy.hookTimeoutMs, leftMs),
      );
      if (
        problem !== undefined &&
        !policy.optionalHooks.includes(path.basename(file)) &&
        freeze.stop === undefined
      ) {
        return failed(`the hook ${file} refused: ${problem}`);
      }
    }
    if (freeze.stop !== undefined) return failed(freeze.stop);
    freeze.report = await Promise.race([
      guard.freeze(freeze.plan.stages, policy.limitSecs),
      guard.ended.then(({ problem, thaw }): FreezeReport => {
        const why = problem ?? wordsOf(thaw) ?? 'the guard ended';
        return { ok: false, problem: why, targets: [], preparedMs: 0, frozenMs: 0 };
      }),
    ]);
    if (freeze.stop !== undefined) return failed(freeze.stop);
    return freeze.report.ok
      ? undefined
      : failed(freeze.report.problem ?? 'not all could be frozen');
  }

  async #runHook(runs: HookRun[], file: string, argument: 'freeze' | 'thaw', timeoutMs: number) {
    const { ports, log } = this.#context;
    const startMs = ports.now();
    const { problem, output, errors } = await ports.runHook(file, argument, timeoutMs);
    const ms = Math.round(ports.now() - startMs);
    runs.push({ file, argument, ms, ...(problem === undefined ? {} : { problem }) });
    const said = printable(`${output.trim()} ${errors.trim()}`.trim()).slice(0, SHOWN_CHARACTERS);
    if (problem !== undefined) log.error('A freeze hook failed', { file, argument, problem, said });
    else if (said !== '') log.info('A freeze hook said', { file, argument, said });
    return problem;
  }

  /** The end of a freeze, whatever it came to. */
  async #clearUp(
    freeze: Freeze,
    result: FreezeResult,
    problem: string | undefined,
    thaw: ThawReport | undefined,
    told = false,
  ): Promise<void> {
    const { log, logHold, policy } = this.#context;
    freeze.ending = true;
    freeze.guard?.close();
    // Not before that is nothing frozen any more
    if (thaw === undefined) await freeze.guard?.ended;
    logHold.release();
    const made = recordOf(this.#context.by, freeze, result, problem, thaw);
    const record: FreezeRecord = told && result === 'early' ? { ...made, told } : made;
    report(log, record);
    for (const file of [...freeze.hooks].reverse()) {
      await this.#runHook(freeze.runs, file, 'thaw', policy.hookTimeoutMs);
      freeze.hooks.pop();
    }
    this.#change(({ current, freezes, ...status }) => ({
      ...status,
      // One of another process stays
      ...(current !== undefined && !this.#isOurs(current) ? { current } : {}),
      freezes: [record, ...freezes].slice(0, KEPT_RECORDS),
    }));
    // It keeps its record to the last, and would be in the way of the next freeze; one that can't
    // thaw may take for ever
    if (thaw?.complete) await freeze.guard?.ended;
    this.#last = record;
    this.#freeze = undefined;
  }

  async #recover(current: CurrentFreeze | undefined): Promise<Recovery> {
    const { ports, log, policy } = this.#context;
    const recovery = await ports.thawRecorded();
    if (recovery.thawed.length > 0) {
      log.warning('Thawed what an earlier freeze had left behind', {
        mountPoints: recovery.thawed,
      });
    }
    if (!recovery.complete)
      log.critical('Something is still frozen', { problem: recovery.problem });
    if (current === undefined) return recovery;
    const runs: HookRun[] = [];
    for (const file of [...current.hooks].reverse())
      await this.#runHook(runs, file, 'thaw', policy.hookTimeoutMs);
    const { by, at, mountPoints } = current;
    log.error('A freeze was interrupted', { by, at, problem: INTERRUPTED, mountPoints });
    const record = {
      by,
      at,
      result: 'interrupted',
      problem: INTERRUPTED,
      volumes: [],
      skipped: [],
      hooks: runs,
    } as const;
    this.#change(({ current: _, ...status }) => ({
      ...status,
      freezes: [record, ...status.freezes].slice(0, KEPT_RECORDS),
    }));
    return recovery;
  }

  #tell({ skipped, unmatched, strangeLines }: Plan): void {
    const { log } = this.#context;
    const told = skipped.filter(isWorthTelling);
    if (told.length > 0)
      log.info('Left out of the freeze', { fileSystems: told.map(describeSkipped) });
    if (unmatched.length > 0)
      log.warning('The configuration names what is not mounted', { items: unmatched });
    if (strangeLines > 0)
      log.error('Lines of mountinfo could not be understood', { lines: strangeLines });
  }

  /** For whoever has to clear up after us. */
  #note({ at, guard, plan, hooks }: Freeze): void {
    const { ports, by } = this.#context;
    const current: CurrentFreeze = {
      by,
      process: ports.self,
      ...(guard ? { guard: ports.identityOf(guard.pid) } : {}),
      at,
      mountPoints: plan?.stages.flat().map(({ mountPoint }) => mountPoint) ?? [],
      hooks: [...hooks],
    };
    this.#change((status) => ({ ...status, current }));
  }

  #isOurs({ process: { pid, startTicks } }: CurrentFreeze): boolean {
    const { self } = this.#context.ports;
    return pid === self.pid && startTicks === self.startTicks;
  }

  /** A status that can't be written is no reason to do without a backup. */
  #change(change: (status: VssStatus) => VssStatus): void {
    try {
      this.#context.ports.changeStatus(change);
    } catch (error) {
      this.#context.log.error("The status can't be written", { error });
    }
  }
}

/** What is in memory, or not this machine's, needs no words. */
export const isWorthTelling = ({ reason }: Skipped): boolean =>
  reason !== 'no-device' && reason !== 'overlay';

const describeSkipped = ({ mountPoint, source, fileSystem, why }: Skipped): string =>
  `${mountPoint || source} (${fileSystem}): ${why}`;

const EARLY: Readonly<Record<Exclude<ThawReport['reason'], 'told'>, string>> = {
  limit: 'the limit had passed without a word of the host',
  gone: 'the service had ended',
  signal: 'the guard was told to stop',
  failed: 'not all could be frozen',
  died: 'the guard was killed',
};

/** What makes a copy doubtful that was made until this thaw. */
function wordsOf(thaw: ThawReport | undefined): string | undefined {
  if (thaw === undefined) return undefined;
  const { reason, complete, problem, targets } = thaw;
  if (!complete) return `not all could be thawed: ${problem ?? 'unknown'}`;
  if (reason !== 'told') return `everything was thawed before, since ${EARLY[reason]}`;
  const foreign = targets
    .filter(({ outcome }) => outcome === 'already-thawed')
    .map((t) => t.target.mountPoint);
  return foreign.length > 0 ? `somebody else had thawed ${foreign.join(', ')} before` : undefined;
}

function recordOf(
  by: Asker,
  { at, plan, report, runs }: Freeze,
  result: FreezeResult,
  problem: string | undefined,
  thaw: ThawReport | undefined,
): FreezeRecord {
  const times = new Map(
    thaw?.targets.map(({ target, frozenForMs }) => [target.deviceNumber, frozenForMs]),
  );
  const OUTCOME = { frozen: 'frozen', 'already-frozen': 'foreign', failed: 'left' } as const;
  const volumes = (report?.targets ?? []).map((one: TargetResult): FrozenVolume => {
    const { mountPoint, deviceNumber, fileSystem, source } = one.target;
    const frozenForMs = times.get(deviceNumber) ?? one.frozenForMs;
    const why =
      one.outcome === 'failed'
        ? `${one.detail ?? 'failed'}${one.code ? ` (${one.code})` : ''}`
        : undefined;
    return {
      mountPoint,
      deviceNumber,
      fileSystem,
      source,
      outcome: OUTCOME[one.outcome],
      ...(frozenForMs === undefined ? {} : { frozenForMs }),
      ...(why === undefined ? {} : { problem: why }),
    };
  });
  return {
    by,
    at,
    result,
    ...(problem === undefined ? {} : { problem }),
    ...(report ? { preparedMs: report.preparedMs, freezingMs: report.frozenMs } : {}),
    volumes,
    skipped: (plan?.skipped ?? [])
      .filter(isWorthTelling)
      .map(({ mountPoint, source, reason }) => ({ mountPoint, source, reason })),
    hooks: runs,
  };
}

function report(
  log: Log,
  { result, problem, by, preparedMs, freezingMs, volumes }: FreezeRecord,
): void {
  const fields = {
    by,
    ...(problem === undefined ? {} : { problem }),
    preparedMs,
    freezingMs,
    fileSystems: volumes.map(({ mountPoint, outcome, frozenForMs, problem: why }) =>
      [
        mountPoint,
        outcome,
        ...(frozenForMs === undefined ? [] : [`${frozenForMs} ms`]),
        ...(why ? [why] : []),
      ].join(' '),
    ),
  };
  if (result === 'failed') log.error('The freeze failed; nothing is frozen', fields);
  else if (result === 'early') log.error('Thawed before it was asked for', fields);
  else if (problem !== undefined) log.error('Thawed, but the copy may not be consistent', fields);
  else log.notice('Frozen and thawed', fields);
}
