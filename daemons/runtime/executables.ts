import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';

/** Where programs are looked for. Our own PATH may be a person's. */
export const PROGRAM_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** Between SIGTERM and SIGKILL for a program whose time is up. */
const KILL_AFTER_MS = 1000;
/** What is still in a program's pipes comes within this time of its end; a child it left behind may keep them open for ever. */
const DRAIN_MS = 200;

export interface RunOptions {
  readonly args?: readonly string[];
  /** All of the environment. */
  readonly env: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  /** Goes to its standard input, which is empty otherwise. */
  readonly input?: string;
  /** What is kept of each output; the rest is read and dropped. */
  readonly outputBytes?: number;
  /** Told the process's id, which is that of its process group, and undefined when it has ended. */
  readonly onProcess?: (pid: number | undefined) => void;
}

export interface Outcome {
  /** Why it did not succeed, in words; undefined: exit status 0. */
  readonly problem: string | undefined;
  readonly output: string;
  readonly errors: string;
}

/**
 * Runs a program without a shell, in a process group of its own. Never rejects, and never takes much longer than its time: what can't even be
 * killed (a process stuck in the kernel) is left alone.
 */
export function run(program: string, options: RunOptions): Promise<Outcome> {
  const { args = [], env, timeoutMs, input, outputBytes = 4096, onProcess = () => {} } = options;
  return new Promise((resolve) => {
    let child: ChildProcessWithoutNullStreams;
    try {
      child = spawn(program, args, { env, detached: true, stdio: ['pipe', 'pipe', 'pipe'] });
    } catch (error) {
      // Some reasons come as an event, others (no memory, an environment too long) at once
      resolve({ problem: (error as Error).message, output: '', errors: '' });
      return;
    }
    const kept = { output: Buffer.alloc(0), errors: Buffer.alloc(0) };
    const timers: NodeJS.Timeout[] = [];
    let late = false;
    const keep = (which: keyof typeof kept) => (chunk: Buffer) => {
      const room = outputBytes - kept[which].length;
      if (room > 0) kept[which] = Buffer.concat([kept[which], chunk.subarray(0, room)]);
    };
    const kill = (signal: NodeJS.Signals): void => killGroup(child.pid, signal);
    const done = (problem: string | undefined): void => {
      for (const timer of timers) clearTimeout(timer);
      child.removeAllListeners();
      child.on('error', () => {});
      child.stdout.destroy();
      child.stderr.destroy();
      onProcess(undefined);
      const words = late ? `did not end within ${timeoutMs / 1000} s` : problem;
      resolve({ problem: words, output: kept.output.toString(), errors: kept.errors.toString() });
    };
    child.on('error', (error) => done(error.message));
    child.stdout.on('data', keep('output'));
    child.stderr.on('data', keep('errors'));
    // A program that reads nothing closes the pipe, which is no error
    child.stdin.on('error', () => {});
    child.stdin.end(input);
    if (child.pid !== undefined) onProcess(child.pid);
    child.on('exit', (code, signal) => {
      const problem = signal ? `ended by ${signal}` : code === 0 ? undefined : `exit status ${code}`;
      child.on('close', () => done(problem));
      timers.push(setTimeout(() => done(problem), DRAIN_MS));
      // What it left behind must not outlive its time
      if (late) kill('SIGKILL');
    });
    timers.push(
      setTimeout(() => {
        late = true;
        kill('SIGTERM');
        timers.push(
          setTimeout(() => {
            kill('SIGKILL');
            timers.push(setTimeout(() => done(undefined), KILL_AFTER_MS));
          }, KILL_AFTER_MS),
        );
      }, timeoutMs),
    );
  });
}

/** Signals a program started by `run`, and what it started. */
export function killGroup(pid: number | undefined, signal: NodeJS.Signals): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, signal);
  } catch {
    // Ended already
  }
}

export interface Executables {
  /** Full paths, in name order. */
  readonly files: readonly string[];
  /** Files that are not run, and why. */
  readonly refused: readonly string[];
}

/** What editors and package managers leave behind. */
const LEFTOVER = /^\.|~$|\.(bak|swp|dpkg-\w+|rpm\w+|ucf-\w+|pacnew|pacsave)$/;

/**
 * The programs an administrator put into a folder: executable files in name order. They run with our rights, so files are refused that others
 * than root and the user we run as own or may write.
 */
export function listExecutables(folder: string): Executables {
  const files: string[] = [];
  const refused: string[] = [];
  let names: string[] = [];
  try {
    names = fs.readdirSync(folder).sort();
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code !== 'ENOENT') refused.push(`${folder}: ${message}`);
  }
  for (const name of names) {
    const file = path.join(folder, name);
    const stat = fs.statSync(file, { throwIfNoEntry: false });
    if (!stat?.isFile() || (stat.mode & 0o111) === 0 || LEFTOVER.test(name)) continue;
    if (stat.uid !== 0 && stat.uid !== process.geteuid?.()) refused.push(`${file}: belongs to another user`);
    else if ((stat.mode & 0o022) !== 0) refused.push(`${file}: others may write to it`);
    else files.push(file);
  }
  return { files, refused };
}
