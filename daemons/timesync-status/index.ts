import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

export const DEFAULT_STATUS_FILE = '/run/vmic/timesync.json';

/** What the daemon says of itself: one JSON object in a file, replaced as a whole. Times are nanoseconds as decimal text. */
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
    /** How the age of samples is known: "exact" (reference counter), "referenced" (compared with others) or "plain" (not at all). */
    readonly kind: string;
    /** How much faster the host's time runs than the guest's raw clock. */
    readonly frequencyPpm?: number;
  };
  /** The last time the clock was stepped. */
  readonly lastStep?: { readonly uptimeSecs: number; readonly because: string; readonly byNs: string };
  /** Why the clock could not be changed, the last time it was tried. */
  readonly problem?: string;
  readonly counters: Readonly<Record<string, number>>;
}

/** A process, told from later ones of the same number by when it started (field 22 of /proc/PID/stat). */
export interface ProcessIdentity {
  readonly pid: number;
  readonly startTicks: string;
}

export const uptimeSecs = (): number => Math.round(os.uptime() * 100) / 100;

export const ownIdentity = (): ProcessIdentity => ({ pid: process.pid, startTicks: startTicksOf(process.pid) ?? '' });

/** False once the process has ended. */
export const isAlive = ({ pid, startTicks }: ProcessIdentity): boolean => startTicksOf(pid) === startTicks;

function startTicksOf(pid: number): string | undefined {
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name in field 2 may hold spaces and brackets; field 3 comes after its last bracket
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[22 - 3];
  } catch {
    return undefined;
  }
}

/** Replaces the file; a reader sees the old or the new one, whole. Throws what the file system does. */
export function writeStatus(file: string, status: TimesyncStatus): void {
  fs.mkdirSync(path.dirname(file), { recursive: true });
  const temporary = `${file}.${process.pid}`;
  fs.writeFileSync(temporary, `${JSON.stringify(status)}\n`, { mode: 0o644 });
  fs.renameSync(temporary, file);
}

/** Undefined when there is no such file. Throws an Error when it is none of ours, and what the file system does. */
export function readStatus(file: string): TimesyncStatus | undefined {
  let text: string;
  try {
    text = fs.readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  let status: Partial<TimesyncStatus> | null;
  try {
    status = JSON.parse(text);
  } catch {
    status = null;
  }
  if (
    status?.service !== 'timesync' ||
    typeof status.process?.pid !== 'number' ||
    typeof status.counters !== 'object'
  ) {
    throw new Error(`${file} is no status of vmic-timesync`);
  }
  return status as TimesyncStatus;
}
