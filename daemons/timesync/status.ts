import { readDetails, usualStatusFile } from '../../runtime/status/status.ts';
import type { StatusHead } from '../../runtime/status/status-file.ts';

export {
  isAlive,
  ownIdentity,
  type ProcessIdentity,
  uptimeSecs,
} from '../../runtime/status/status-file.ts';

export const DEFAULT_STATUS_FILE = usualStatusFile('timesync');

/**
 * What the service adds to its status, with each sample. Times are nanoseconds as decimal text.
 */
export interface TimesyncDetails {
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

/** The details with the head of the file. */
export type TimesyncStatus = StatusHead & { readonly service: 'timesync' } & TimesyncDetails;

/**
 * Returns undefined when there is no such file. Throws an Error when it is not a status of time
 * synchronization, and what the file system does.
 */
export const readStatus = (file: string): TimesyncStatus | undefined =>
  readDetails<TimesyncDetails, 'timesync'>(
    file,
    'timesync',
    ({ counters }) => typeof counters === 'object',
  );
