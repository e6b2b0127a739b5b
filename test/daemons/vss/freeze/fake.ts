import { Freezer } from '../../../../daemons/vss/freeze/freezer.ts';
import type {
  FreezeReport,
  FreezeTarget,
  Guard,
  GuardEnd,
  Recovery,
  TargetResult,
  ThawReason,
  ThawReport,
} from '../../../../daemons/vss/freeze/guard-types.ts';
import type { Plan } from '../../../../daemons/vss/freeze/plan.ts';
import type { FreezePolicy, FreezerPorts } from '../../../../daemons/vss/freeze/ports.ts';
import type { Asker, VssStatus } from '../../../../daemons/vss/freeze/status.ts';
import { NO_STATUS } from '../../../../daemons/vss/freeze/status.ts';
import type { Executables, Outcome } from '../../../../runtime/executables.ts';
import { levels } from '../../../../runtime/log.ts';

export const target = (mountPoint: string, more: Partial<FreezeTarget> = {}): FreezeTarget => ({
  mountPoint,
  deviceNumber: `8:${mountPoint.length}`,
  fileSystem: 'ext4',
  source: `/dev/x${mountPoint.length}`,
  optional: false,
  ...more,
});

export const planOf = (
  stages: readonly (readonly FreezeTarget[])[],
  more: Partial<Plan> = {},
): Plan => ({
  stages,
  skipped: [],
  unmatched: [],
  strangeLines: 0,
  ...more,
});

/** A guard that holds nothing. What is done to it is written down. */
export class FakeGuard implements Guard {
  readonly pid = 4711;
  readonly recovered: readonly string[] = [];
  readonly ended: Promise<GuardEnd>;
  report: Partial<FreezeReport> = {};
  results: Partial<TargetResult>[] = [];
  thawReport: Partial<ThawReport> = {};
  /** Awaited by freeze and thaw. */
  freezes: Promise<void> = Promise.resolve();
  thaws: Promise<void> = Promise.resolve();
  /** Resolves a freeze that is broken off. */
  #targets: FreezeTarget[] = [];
  #end: (end: GuardEnd) => void = () => {};
  readonly #note: (event: string) => void;

  constructor(note: (event: string) => void) {
    this.#note = note;
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  async freeze(
    stages: readonly (readonly FreezeTarget[])[],
    limitSecs: number,
  ): Promise<FreezeReport> {
    const names = stages.map((stage) => stage.map((one) => one.mountPoint).join('+'));
    this.#note(`guard freezes ${names.join(' then ')} for ${limitSecs} s`);
    this.#targets = stages.flat();
    await this.freezes;
    const targets = this.#targets.map(
      (t, i): TargetResult => ({ target: t, outcome: 'frozen', ...this.results[i] }),
    );
    return { ok: true, targets, preparedMs: 5, frozenMs: 2, ...this.report };
  }

  async thaw(): Promise<ThawReport> {
    this.#note('guard thaws');
    await this.thaws;
    const report = this.#thawed('told');
    this.#end({ thaw: report });
    return report;
  }

  /** It thaws on its own. */
  endsBy(reason: ThawReason): void {
    this.#note(`guard thaws: ${reason}`);
    this.#end({ thaw: this.#thawed(reason) });
  }

  close(): void {
    this.#note('guard is let go of');
    this.#end({});
  }

  #thawed(reason: ThawReason): ThawReport {
    const targets = this.#targets.map((t) => ({
      target: t,
      outcome: 'thawed' as const,
      frozenForMs: 40,
    }));
    return { reason, complete: true, targets, ...this.thawReport };
  }
}

/**
 * A system on which nothing is frozen, on a clock that stands still unless it is moved. What
 * happens is written down, in order.
 */
export class FakeSystem implements FreezerPorts {
  nowMs = 1000;
  plans: Plan = planOf([[target('/')]]);
  readonly events: string[] = [];
  readonly lines: string[] = [];
  guard = new FakeGuard((event) => this.note(event));
  hookFiles: Executables = { files: [], refused: [] };
  /** What a hook comes to; "freeze a" and the like. */
  hookOutcomes = new Map<string, Partial<Outcome>>();
  onHook: (call: string) => void | Promise<void> = () => {};
  startError: Error | undefined;
  recovery: Recovery = { complete: true, thawed: [] };
  status: VssStatus = NO_STATUS;
  statusError: Error | undefined;
  readonly self = { pid: 100, startTicks: '1' };
  #timers: { atMs: number; work: () => void }[] = [];
  #held: string[] | undefined;

  readonly now = (): number => this.nowMs;
  readonly identityOf = (pid: number) => ({ pid, startTicks: 'x' });

  readonly log = levels((severity, message, fields) => {
    const line = `${severity}: ${message} ${JSON.stringify(fields ?? {})}`;
    if (this.#held) this.#held.push(line);
    else this.lines.push(line);
  });
  readonly logHold = {
    hold: async () => {
      this.note('log is held');
      this.#held ??= [];
    },
    release: () => {
      this.note('log is released');
      this.lines.push(...(this.#held ?? []));
      this.#held = undefined;
    },
  };

  freezer(policy: Partial<FreezePolicy> = {}, by: Asker = 'host'): Freezer {
    return new Freezer({
      ports: this,
      policy: { limitSecs: 60, hookTimeoutMs: 30_000, optionalHooks: [], ...policy },
      log: this.log,
      logHold: this.logHold,
      by,
    });
  }

  note(event: string): void {
    this.events.push(event);
  }

  /** Moves the clock; timers that are due run. */
  pass(ms: number): void {
    this.nowMs += ms;
    const due = this.#timers.filter(({ atMs }) => atMs <= this.nowMs);
    this.#timers = this.#timers.filter(({ atMs }) => atMs > this.nowMs);
    for (const { work } of due) work();
  }

  plan(): Plan {
    return this.plans;
  }
  async startGuard(): Promise<Guard> {
    if (this.startError) throw this.startError;
    this.note('guard starts');
    return this.guard;
  }
  async thawRecorded(): Promise<Recovery> {
    this.note('thaws what is recorded');
    return this.recovery;
  }
  hooks(): Executables {
    return this.hookFiles;
  }
  async runHook(file: string, argument: 'freeze' | 'thaw', timeoutMs: number): Promise<Outcome> {
    const call = `${argument} ${file}`;
    this.note(`hook ${call} ${timeoutMs / 1000}`);
    await this.onHook(call);
    return { problem: undefined, output: '', errors: '', ...this.hookOutcomes.get(call) };
  }
  killHook(): void {
    this.note('hook is killed');
  }
  changeStatus(change: (status: VssStatus) => VssStatus): void {
    if (this.statusError) throw this.statusError;
    if (this.#held && this.guard !== undefined && this.events.at(-1)?.startsWith('guard freezes')) {
      throw new Error('a file was written while frozen');
    }
    this.status = change(this.status);
    const { current } = this.status;
    this.note(`status: ${current ? `hooks ${current.hooks.join(' ') || 'none'}` : 'idle'}`);
  }
  time(): Date {
    return new Date(Date.UTC(2026, 10, 23) + this.nowMs);
  }
  after(ms: number, work: () => void): () => void {
    const timer = { atMs: this.nowMs + ms, work };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((one) => one !== timer);
    };
  }
}
