import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

/** What a daemon says of itself for `vmic ... status`: one JSON object in a file, replaced as a whole. */
export interface StatusHead {
  /** The service's name. */
  readonly service: string;
  readonly process: ProcessIdentity;
  /** Seconds since boot when this was written. */
  readonly uptimeSecs: number;
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

/** Replaces a file by an object as JSON; a reader sees the old or the new one, whole. Throws what the file system does. */
export function writeJson(file: string, value: object): void {
  fs.mkdirSync(path.dirname(file), { recursive: true });
  const temporary = `${file}.${process.pid}`;
  fs.writeFileSync(temporary, `${JSON.stringify(value)}\n`, { mode: 0o644 });
  fs.renameSync(temporary, file);
}

/**
 * What a service wrote; undefined when there is no such file. Throws an Error when it is none of that service's, and what the file system
 * does. `isWhole` looks at the service's own fields.
 */
export function readStatusFile<Status extends StatusHead>(
  file: string,
  service: Status['service'],
  isWhole: (status: Partial<Status>) => boolean,
): Status | undefined {
  let text: string;
  try {
    text = fs.readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  let status: Partial<Status> | null;
  try {
    status = JSON.parse(text);
  } catch {
    status = null;
  }
  if (status?.service !== service || typeof status.process?.pid !== 'number' || !isWhole(status)) {
    throw new Error(`${file} is no status of vmic-${service}`);
  }
  return status as Status;
}
