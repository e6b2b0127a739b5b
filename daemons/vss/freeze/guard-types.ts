/**
 * The contract of the guard: the small process that freezes, holds and thaws for the VSS service
 * and for `vmic vss freeze`.
 *
 * One guard is one freeze: start, freeze, thaw. It ends by itself after the thaw. While it holds a
 * freeze it thaws on its own when the caller's process ends in any way, when the limit has passed,
 * and when it gets SIGTERM, SIGINT, SIGHUP or SIGQUIT.
 */

/** One superblock to freeze. Each superblock may be named once. */
export interface FreezeTarget {
  /**
   * As in mountinfo, unescaped: a folder, or a file for a file that is bind-mounted. It may be
   * shadowed by another mount.
   */
  readonly mountPoint: string;
  /** "major:minor" of the superblock, as in mountinfo. The guard freezes nothing else. */
  readonly deviceNumber: string;
  readonly fileSystem: string;
  readonly source: string;
  /** When it can't be frozen the others stay frozen. */
  readonly optional: boolean;
}

export interface TargetResult {
  readonly target: FreezeTarget;
  /**
   * already-frozen: by somebody else (EBUSY). It counts as frozen, stays his, and is never thawed
   * by us.
   */
  readonly outcome: 'frozen' | 'already-frozen' | 'failed';
  /**
   * For failed: the errno's name. ETIMEDOUT: it did not freeze in time; ECANCELED: not tried,
   * because another one failed.
   */
  readonly code?: string;
  /** What failed, in words. */
  readonly detail?: string;
  /** Set when it was frozen and has been thawed again, since another one failed. */
  readonly frozenForMs?: number;
}

export interface FreezeReport {
  /** All that is not optional is frozen. False: nothing is held frozen by us any more. */
  readonly ok: boolean;
  /** Why not, in words. */
  readonly problem?: string;
  /** In the order of the stages. */
  readonly targets: readonly TargetResult[];
  /** Opening and writing out of dirty data, before anything was frozen. */
  readonly preparedMs: number;
  /** From the start of the first freeze to this report. */
  readonly frozenMs: number;
}

/**
 * told: by thaw(). gone: the caller's process ended. failed: not all could be frozen. died: the
 * guard was killed, others thawed.
 */
export type ThawReason = 'told' | 'limit' | 'gone' | 'signal' | 'failed' | 'died';

export interface ThawResult {
  readonly target: FreezeTarget;
  /**
   * already-thawed: somebody else thawed it before us, so what the host copied may not be
   * consistent.
   */
  readonly outcome: 'thawed' | 'already-thawed' | 'failed';
  readonly code?: string;
  /** Unknown (undefined) where the guard died. */
  readonly frozenForMs?: number;
}

export interface ThawReport {
  readonly reason: ThawReason;
  /** Nothing that we froze is still frozen. */
  readonly complete: boolean;
  readonly problem?: string;
  /** Those that we froze, in the order of their thaw. */
  readonly targets: readonly ThawResult[];
}

export interface GuardEnd {
  /** Undefined: it ended before it froze anything. */
  readonly thaw?: ThawReport;
  /** How the process ended, when not by itself. */
  readonly problem?: string;
}

export interface Guard {
  readonly pid: number;
  /** Mount points that an earlier guard left frozen; thawed by this one at its start. */
  readonly recovered: readonly string[];
  /**
   * Opens all, writes dirty data out, then freezes stage after stage, each stage's targets at once.
   * Called once. Takes the time that writing out takes, up to `limitSecs`, and half of `limitSecs`
   * for the freeze; the freeze is held for `limitSecs` at most, counted from its start. Never
   * rejects.
   */
  freeze(stages: readonly (readonly FreezeTarget[])[], limitSecs: number): Promise<FreezeReport>;
  /**
   * Thaws in reverse order; tells what was thawed, also when that happened before and for another
   * reason. Never rejects.
   */
  thaw(): Promise<ThawReport>;
  /**
   * Resolves when the process has ended and, should it have been killed, when what it held was
   * thawed for it.
   */
  readonly ended: Promise<GuardEnd>;
  /** Lets go of the guard, which thaws what is still frozen, and ends. */
  close(): void;
}

export interface GuardOptions {
  /** On a tmpfs: lists what is being frozen while it is. Only one guard at a time can use it. */
  readonly recordPath: string;
  /** The guard's executable; by default beside the bundles. */
  readonly program?: string;
}

export interface GuardStarter {
  /** Rejects with a `code` when it can't be started: EBUSY when another guard holds the record. */
  start(options: GuardOptions): Promise<Guard>;
}

/** What was done by `thawRecorded`, the last resort. */
export interface Recovery {
  /**
   * Nothing of what the record lists is still frozen by us; the record is gone. Also when there was
   * none.
   */
  readonly complete: boolean;
  readonly problem?: string;
  /** Mount points that were frozen and are thawed. */
  readonly thawed: readonly string[];
}
