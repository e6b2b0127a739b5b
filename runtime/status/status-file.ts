import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

/**
 * A process, told from later ones of the same number by when it started (field 22 of
 * /proc/PID/stat).
 */
export interface ProcessIdentity {
  readonly pid: number;
  readonly startTicks: string;
}

/** What the status file of each service begins with. */
export interface StatusHead {
  /** The service's name. */
  readonly service: string;
  readonly process: ProcessIdentity;
  /** Seconds since boot when this was written. */
  readonly uptimeSecs: number;
}

export const uptimeSecs = (): number => Math.round(os.uptime() * 100) / 100;

export const identityOf = (pid: number): ProcessIdentity => ({
  pid,
  startTicks: startTicksOf(pid) ?? '',
});

export const ownIdentity = (): ProcessIdentity => identityOf(process.pid);

/** False once the process has ended. */
export const isAlive = ({ pid, startTicks }: ProcessIdentity): boolean =>
  startTicksOf(pid) === startTicks;

function startTicksOf(pid: number): string | undefined {
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name in field 2 may hold spaces and brackets; field 3 comes after its last bracket
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[22 - 3];
  } catch {
    return undefined;
  }
}

/**
 * Replaces a file that all may read by an object as JSON; a reader sees the old or the new one,
 * whole. Throws what the file system does.
 */
export function writeJson(file: string, value: object): void {
  const folder = path.dirname(file);
  if (fs.mkdirSync(folder, { recursive: true }) !== undefined) fs.chmodSync(folder, 0o755);
  const temporary = `${file}.${process.pid}`;
  const fd = fs.openSync(temporary, 'w', 0o644);
  try {
    // Whatever the unit's UMask= is
    fs.fchmodSync(fd, 0o644);
    fs.writeFileSync(
      fd,
      `${JSON.stringify(value, (_, field) => (typeof field === 'bigint' ? `${field}` : field))}\n`,
    );
  } finally {
    fs.closeSync(fd);
  }
  fs.renameSync(temporary, file);
}

/**
 * The object in the file; undefined when there is no such file, null when it holds no JSON. Throws
 * what the file system does.
 */
export function readJson(file: string): unknown {
  let text: string;
  try {
    text = fs.readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/**
 * Returns what a service wrote; undefined when there is no such file. Throws an Error when it is
 * not that service's, and what the file system does. `isWhole` looks at the fields beside the head.
 */
export function readStatusFile<Status extends StatusHead>(
  file: string,
  service: Status['service'],
  isWhole: (status: Partial<Status>) => boolean,
): Status | undefined {
  const status = readJson(file) as Partial<Status> | null | undefined;
  if (status === undefined) return undefined;
  if (status?.service !== service || typeof status.process?.pid !== 'number' || !isWhole(status)) {
    throw new Error(`${file} is no status of vmic-${service}`);
  }
  return status as Status;
}
