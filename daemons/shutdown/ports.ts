import type { MonotonicMs } from '../../runtime/clock.ts';
import type { Log } from '../../runtime/log.ts';

/** What a host can ask for. The names are those in configuration and hooks. */
export const ACTIONS = ['power-off', 'restart', 'hibernate'] as const;
export type Action = (typeof ACTIONS)[number];

/**
 * - orderly: services are stopped, each in its own time.
 * - forced: processes are ended and file systems unmounted without waiting for services.
 * - immediate: file systems are flushed, no more.
 */
export type Urgency = 'orderly' | 'forced' | 'immediate';

/** What became of the last command. A rehearsal stops short of it. */
export type Gone =
  | { readonly result: 'going' | 'rehearsed' }
  | { readonly result: 'failed'; readonly why: string };

/** A wait under way. */
export interface Wait {
  /** Resolves after its time or when cancelled; to false when the daemon ends (`close`). */
  readonly done: Promise<boolean>;
  cancel(): void;
}

/**
 * What the service needs of the operating system. Nothing here rejects; all but `go` and hooks end
 * within seconds.
 */
export interface ShutdownPorts {
  /** Those who keep the system from doing this ("who: why"). */
  inhibitors(action: Action): Promise<readonly string[]>;
  /** Why this system can't hibernate; undefined: it can. */
  hibernationProblem(): Promise<string | undefined>;
  /** Tells everybody who is logged in. */
  announce(text: string): Promise<void>;
  hooks(): { readonly files: readonly string[]; readonly refused: readonly string[] };
  /** Runs one hook; what is wrong, or undefined. */
  runHook(
    file: string,
    env: Readonly<Record<string, string>>,
    timeoutMs: number,
  ): Promise<string | undefined>;
  /** The last command. */
  go(action: Action, urgency: Urgency): Promise<Gone>;
  /** Calls back when the answer is out. */
  afterAnswer(work: () => void): void;
  readonly now: MonotonicMs;
  wait(ms: number): Wait;
  close(): void;
}

export interface ShutdownPolicy {
  readonly refuse: readonly Action[];
  readonly respectsInhibitors: boolean;
  /** Part of the time that hooks get together. */
  readonly hookShare: number;
  /** For a host that names no time. */
  readonly defaultTimeoutSecs: number;
  /** A host that gives less is not obeyed in this. */
  readonly leastTimeoutSecs: number;
  readonly forcesAtDeadline: boolean;
}

export interface ShutdownContext {
  readonly ports: ShutdownPorts;
  readonly policy: ShutdownPolicy;
  readonly log: Log;
  /** A limited log, for lines that a host can cause at will. */
  readonly hostLog: Log;
}
