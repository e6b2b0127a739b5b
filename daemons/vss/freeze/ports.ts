import type { MonotonicMs } from '../../../runtime/clock.ts';
import type { Executables, Outcome } from '../../../runtime/executables.ts';
import type { Log, LogHold } from '../../../runtime/log.ts';
import type { ProcessIdentity } from '../../../runtime/status/status-file.ts';
import type { FreezeReport, Guard, Recovery, ThawReport } from './guard-types.ts';
import type { Plan } from './plan.ts';
import type { Asker, VssStatus } from './status.ts';

/** What a freeze needs of the system. */
export interface FreezerPorts {
  /** Returns what would be frozen now. Throws when the mounts can't be read. */
  plan(): Plan;
  /** Rejects when no guard can be started; EBUSY: another process freezes. */
  startGuard(): Promise<Guard>;
  /** Thaws what a killed guard left frozen. Never rejects. */
  thawRecorded(): Promise<Recovery>;
  hooks(): Executables;
  /** Never rejects. */
  runHook(file: string, argument: 'freeze' | 'thaw', timeoutMs: number): Promise<Outcome>;
  /** Ends the hook that runs. */
  killHook(): void;
  /** Throws what the file system does. */
  changeStatus(change: (status: VssStatus) => VssStatus): void;
  readonly self: ProcessIdentity;
  identityOf(pid: number): ProcessIdentity;

  readonly now: MonotonicMs;
  time(): Date;
  /** Runs `work` after `ms`. Returns a function that cancels it. */
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
  /** busy: another freeze is under way, and goes on. */
  | { readonly ok: false; readonly problem: string; readonly busy: boolean };

export type ThawOutcome =
  /** `problem`: why the copy made meanwhile may not be consistent. */
  | { readonly was: 'frozen'; readonly report: ThawReport; readonly problem: string | undefined }
  /** `early`: why the last freeze ended before this thaw. It is told once. */
  | { readonly was: 'not-frozen'; readonly early: string | undefined };
