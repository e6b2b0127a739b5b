import { type ProcessIdentity, readStatusFile } from '../../runtime/status/status-file.ts';

export const DEFAULT_STATUS_FILE = '/run/vmic/fcopy.json';

/** How a copy ended, or why it was not begun. */
export const RESULTS = {
  copied: 'copied',
  cancelled: 'cancelled by the host',
  replaced: 'given up: the host began another one',
  silent: 'given up: the host fell silent',
  disconnected: 'given up: the channel was closed',
  stopped: 'given up: the service was stopped',
  incomplete: 'refused: less came than announced',
  invalid: 'refused: the name or path can not be used here',
  refused: 'refused',
  absent: 'refused: there is no such folder',
  exists: 'refused: there is such a file',
  diskFull: 'no space left',
  failed: 'failed',
} as const;
export type Result = keyof typeof RESULTS;

/** Text of a host: show it on a terminal only as `printable`. Sizes are bytes. */
export interface CopyStatus {
  readonly target: string;
  readonly sizeBytes: number;
  readonly receivedBytes: number;
}

/** What the daemon says of itself, at most once a second. */
export interface FcopyStatus {
  readonly service: 'fcopy';
  readonly process: ProcessIdentity;
  /** Seconds since boot when this was written. */
  readonly uptimeSecs: number;
  /** Who sends: "hv_utils 1" (the kernel's relay), or "1.1" (messages agreed on with a host). */
  readonly peer?: string;
  /** The copy under way. */
  readonly copy?: CopyStatus & { readonly startedUptimeSecs: number };
  /** The last ones, newest first. */
  readonly last: readonly (CopyStatus & {
    readonly result: Result;
    /** What more is to be said. */
    readonly reason?: string;
    readonly endedUptimeSecs: number;
    readonly seconds: number;
  })[];
  readonly counters: Readonly<Record<string, number>>;
}

/**
 * Undefined when there is no such file. Throws an Error when it is none of ours, and what the file
 * system does.
 */
export function readStatus(file: string): FcopyStatus | undefined {
  const isWhole = ({ last, counters }: Partial<FcopyStatus>): boolean =>
    Array.isArray(last) && typeof counters === 'object';
  return readStatusFile(file, 'fcopy', isWhole);
}
