import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

/** A process, told from later ones of the same number by when it started (field 22 of /proc/PID/stat). */
export interface ProcessIdentity {
  readonly pid: number;
  readonly startTicks: string;
}

export const uptimeSecs = (): number => Math.round(os.uptime() * 100) / 100;

export const identityOf = (pid: number): ProcessIdentity => ({ pid, startTicks: startTicksOf(pid) ?? '' });

export const ownIdentity = (): ProcessIdentity => identityOf(process.pid);

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

/** Replaces the file; a reader sees the old or the new object, whole. Throws what the file system does. */
export function writeStatusFile(file: string, status: object): void {
  fs.mkdirSync(path.dirname(file), { recursive: true });
  const temporary = `${file}.${process.pid}`;
  fs.writeFileSync(temporary, `${JSON.stringify(status)}\n`, { mode: 0o644 });
  fs.renameSync(temporary, file);
}

/** The object in the file; undefined when there is no such file, null when it holds no JSON. Throws what the file system does. */
export function readStatusFile(file: string): unknown {
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
