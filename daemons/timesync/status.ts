import {
  type ProcessIdentity,
  readStatusFile,
  writeJson,
} from '../../runtime/status/status-file.ts';

export {
  isAlive,
  ownIdentity,
  type ProcessIdentity,
  uptimeSecs,
} from '../../runtime/status/status-file.ts';

export const DEFAULT_STATUS_FILE = '/run/vmic/timesync.json';

/**
 * What the daemon says of itself: one JSON object in a file, replaced as a whole. Times are
 * nanoseconds as decimal text.
 */
export interface TimesyncStatus {
  readonly service: 'timesync';
  readonly process: ProcessIdentity;
  /** Seconds since boot when this was written. */
  readonly uptimeSecs: number;
  /** "system" is the machine's clock; "simulated" is one that nobody else sees. */
  readonly clock: 'system' | 'simulated';
  /** "discipline", "chrony" or "observe", why, and whether it was configured or chosen. */
  readonly mode: string;
  readonly reason: string;
  readonly configured: boolean;
  readonly advice?: string;
  /** Message version agreed on with the host. */
  readonly version?: string;
  /** The last sample that was used. */
  readonly last?: {
    readonly uptimeSecs: number;
    /** The host's time minus the guest's, before anything was done about it. */
    readonly offsetNs: string;
    /**
     * How the age of samples is known: "exact" (reference counter), "referenced" (compared with
     * others) or "plain" (not at all).
     */
    readonly kind: string;
    /** How much faster the host's time runs than the guest's raw clock. */
    readonly frequencyPpm?: number;
  };
  /** The last time the clock was stepped. */
  readonly lastStep?: {
    readonly uptimeSecs: number;
    readonly because: string;
    readonly byNs: string;
  };
  /** Why the clock could not be changed, the last time it was tried. */
  readonly problem?: string;
  readonly counters: Readonly<Record<string, number>>;
}

/** Throws what the file system does. */
export const writeStatus = (file: string, status: TimesyncStatus): void => writeJson(file, status);

/**
 * Undefined when there is no such file. Throws an Error when it is none of ours, and what the file
 * system does.
 */
export const readStatus = (file: string): TimesyncStatus | undefined =>
  readStatusFile<TimesyncStatus>(file, 'timesync', ({ counters }) => typeof counters === 'object');
