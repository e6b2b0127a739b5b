import { readDetails, usualStatusFile } from '../../runtime/status/status.ts';
import type { StatusHead } from '../../runtime/status/status-file.ts';

export const DEFAULT_STATUS_FILE = usualStatusFile('fcopy');

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

/** What the service adds to its status, at most once a second. */
export interface FcopyDetails {
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

/** The details with the head of the file. */
export type FcopyStatus = StatusHead & { readonly service: 'fcopy' } & FcopyDetails;

/**
 * Returns undefined when there is no such file. Throws an Error when it is not a status of file
 * copy, and what the file system does.
 */
export const readStatus = (file: string): FcopyStatus | undefined =>
  readDetails<FcopyDetails, 'fcopy'>(
    file,
    'fcopy',
    ({ last, counters }) => Array.isArray(last) && typeof counters === 'object',
  );
