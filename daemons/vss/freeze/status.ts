import { type ProcessIdentity, readJson, writeJson } from '../../../runtime/status/status-file.ts';
import type { SkipReason } from './plan.ts';

/** Who asked for a freeze. */
export type Asker = 'host' | 'command';

/** One call of a hook. */
export interface HookRun {
  readonly file: string;
  readonly argument: 'freeze' | 'thaw';
  readonly ms: number;
  /** Why it did not succeed. */
  readonly problem?: string;
}

export interface FrozenVolume {
  readonly mountPoint: string;
  readonly deviceNumber: string;
  readonly fileSystem: string;
  readonly source: string;
  /**
   * left: it was to be frozen, and is optional. foreign: somebody else had frozen it before, and
   * still has.
   */
  readonly outcome: 'frozen' | 'foreign' | 'left';
  readonly frozenForMs?: number;
  readonly problem?: string;
}

/**
 * - thawed: all went well.
 * - early: everything was thawed before the host, or the person, asked for it.
 * - failed: not frozen.
 * - interrupted: the process that did it ended in the middle.
 */
export type FreezeResult = 'thawed' | 'early' | 'failed' | 'interrupted';

/** The results in words. */
export const FREEZE_RESULTS: Readonly<Record<FreezeResult, string>> = {
  thawed: 'frozen and thawed',
  early: 'THAWED TOO EARLY',
  failed: 'FAILED, nothing was frozen',
  interrupted: 'INTERRUPTED',
};

/** One freeze that is over. */
export interface FreezeRecord {
  readonly by: Asker;
  /** When it began, in ISO 8601. */
  readonly at: string;
  readonly result: FreezeResult;
  /** What went wrong, in words; for "thawed": nothing, or what makes the host's copy doubtful. */
  readonly problem?: string;
  /** That it did not last was said to whoever had asked for it. */
  readonly told?: true;
  /** Writing out dirty data, and the freeze itself. */
  readonly preparedMs?: number;
  readonly freezingMs?: number;
  readonly volumes: readonly FrozenVolume[];
  readonly skipped: readonly {
    readonly mountPoint: string;
    readonly source: string;
    readonly reason: SkipReason;
  }[];
  readonly hooks: readonly HookRun[];
}

/** A freeze under way; or one whose process ended, which somebody has to clear up after. */
export interface CurrentFreeze {
  readonly by: Asker;
  readonly process: ProcessIdentity;
  /** SIGTERM to it thaws. */
  readonly guard?: ProcessIdentity;
  readonly at: string;
  readonly mountPoints: readonly string[];
  /** Hooks that were called with "freeze", in this order, and not yet with "thaw". */
  readonly hooks: readonly string[];
}

/**
 * What service and command say of themselves: one JSON object in a file, replaced as a whole. Never
 * written while anything is frozen.
 */
export interface VssStatus {
  readonly service: 'vss';
  /** The daemon, while it runs. */
  readonly daemon?: ProcessIdentity;
  readonly current?: CurrentFreeze;
  /** Newest first. */
  readonly freezes: readonly FreezeRecord[];
}

export const KEPT_RECORDS = 20;

export const NO_STATUS: VssStatus = { service: 'vss', freezes: [] };

/**
 * Undefined when there is no such file. Throws an Error when it is none of ours, and what the file
 * system does.
 */
export function readStatus(file: string): VssStatus | undefined {
  const status = readJson(file) as Partial<VssStatus> | null | undefined;
  if (status === undefined) return undefined;
  const current = status?.current;
  if (
    status?.service !== 'vss' ||
    !Array.isArray(status.freezes) ||
    (current !== undefined &&
      (!Array.isArray(current?.hooks) || typeof current.process?.pid !== 'number'))
  ) {
    throw new Error(`${file} is no status of vmic-vss`);
  }
  return status as VssStatus;
}

/**
 * Reads, changes and replaces it. A file that is no status is replaced. Throws what the file system
 * does.
 */
export function changeStatus(file: string, change: (status: VssStatus) => VssStatus): void {
  let status: VssStatus | undefined;
  try {
    status = readStatus(file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== undefined) throw error;
  }
  writeJson(file, change(status ?? NO_STATUS));
}
