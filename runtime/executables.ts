import fs from 'node:fs';
import { constants } from 'node:os';
import path from 'node:path';
import type { Native, Program, ProgramEnd } from '../native/interface.ts';

/** Where programs are looked for. Our own PATH may be a person's. */
export const PROGRAM_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** Between SIGTERM and SIGKILL for a program whose time is up. */
const KILL_AFTER_MS = 1000;

export interface RunOptions {
  readonly args?: readonly string[];
  /** All of the environment. A program without a slash in its name is looked for in its PATH. */
  readonly env: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  /** Goes to its standard input, which is empty otherwise. */
  readonly input?: string;
  /** What is kept of each output; the rest is read and dropped. */
  readonly outputBytes?: number;
  /**
   * It is made at least this nice, so that it does not hold up others; by default it is as nice as
   * we are.
   */
  readonly niceness?: number;
  /**
   * Told the process's id, which is that of its process group, once it runs, and undefined when it
   * has ended.
   */
  readonly onProcess?: (pid: number | undefined) => void;
  /** Who starts it: the addon, but in tests. */
  readonly native?: Pick<Native, 'startProgram'>;
}

export interface Outcome {
  /** Why it did not succeed, in words; undefined: exit status 0. */
  readonly problem: string | undefined;
  readonly output: string;
  readonly errors: string;
}

/**
 * Runs a program without a shell, in a process group of its own, and with nothing of ours but what
 * is given here. It has to be a program of this machine or a script that begins with "#!". Never
 * rejects, and never takes much longer than its time: what can't even be killed (a process stuck in
 * the kernel) is left alone. What a program that ended in time has left behind goes on.
 *
 * Nothing here waits: not for the disk that the program is on, not for its pipes (see
 * `startProgram` in native/interface.ts).
 */
export async function run(program: string, options: RunOptions): Promise<Outcome> {
  const {
    args = [],
    env,
    timeoutMs,
    input,
    outputBytes = 4096,
    niceness,
    onProcess = () => {},
  } = options;
  const native = options.native ?? (await import('../native/index.ts')).native;
  return new Promise((resolve) => {
    let running: Program;
    let timer: NodeJS.Timeout | undefined;
    let late = false;
    const done = (end?: ProgramEnd): void => {
      clearTimeout(timer);
      // What it left behind must not outlive its time
      if (late) running.kill(constants.signals.SIGKILL);
      running.close();
      onProcess(undefined);
      const outcome = end === undefined ? NOTHING_SAID : outcomeOf(end);
      resolve(late ? { ...outcome, problem: `did not end within ${timeoutMs / 1000} s` } : outcome);
    };
    try {
      running = native.startProgram(
        program,
        {
          args,
          env: Object.entries(env).map(([name, value]) => `${name}=${value}`),
          outputBytes,
          ...(input === undefined ? {} : { input: Buffer.from(input) }),
          ...(niceness === undefined ? {} : { niceness }),
        },
        onProcess,
        done,
      );
    } catch (error) {
      resolve({ ...NOTHING_SAID, problem: (error as Error).message });
      return;
    }
    timer = setTimeout(() => {
      late = true;
      running.kill(constants.signals.SIGTERM);
      timer = setTimeout(() => {
        running.kill(constants.signals.SIGKILL);
        timer = setTimeout(done, KILL_AFTER_MS);
      }, KILL_AFTER_MS);
    }, timeoutMs);
  });
}

const NOTHING_SAID: Outcome = { problem: undefined, output: '', errors: '' };

function outcomeOf(end: ProgramEnd): Outcome {
  if (end.reason === 'error') return { ...NOTHING_SAID, problem: end.error.message };
  const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();
  const said = { output: text(end.output), errors: text(end.errors) };
  if (end.reason === 'signal') return { ...said, problem: `ended by ${signalName(end.signal)}` };
  return { ...said, problem: end.status === 0 ? undefined : `exit status ${end.status}` };
}

/** Real-time signals have none. */
const signalName = (signal: number): string =>
  Object.entries(constants.signals).find(([, number]) => number === signal)?.[0] ??
  `signal ${signal}`;

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
 * The programs an administrator put into a folder: executable files in name order. They run with
 * our rights, so files are refused that others than root and the user we run as own or may write.
 * Waits for the folder's disk.
 */
export function listExecutables(folder: string): Executables {
  try {
    return choose(
      fs.readdirSync(folder).map((name) => {
        const file = path.join(folder, name);
        try {
          return [file, fs.statSync(file)];
        } catch (error) {
          return [file, error as NodeJS.ErrnoException];
        }
      }),
    );
  } catch (error) {
    return unreadable(folder, error as NodeJS.ErrnoException);
  }
}

/** The same without waiting: a disk that hangs keeps one of libuv's threads, no more. */
export async function findExecutables(folder: string): Promise<Executables> {
  try {
    const found: Found[] = [];
    for (const name of await fs.promises.readdir(folder)) {
      const file = path.join(folder, name);
      found.push([
        file,
        await fs.promises.stat(file).catch((error: NodeJS.ErrnoException) => error),
      ]);
    }
    return choose(found);
  } catch (error) {
    return unreadable(folder, error as NodeJS.ErrnoException);
  }
}

type Found = readonly [file: string, stat: fs.Stats | NodeJS.ErrnoException];

function choose(found: readonly Found[]): Executables {
  const files: string[] = [];
  const refused: string[] = [];
  for (const [file, stat] of [...found].sort(([one], [other]) => (one < other ? -1 : 1))) {
    if (LEFTOVER.test(path.basename(file))) continue;
    if (stat instanceof Error) {
      // A link to nowhere is one way to switch a program off
      if (stat.code !== 'ENOENT') refused.push(`${file}: ${stat.message}`);
      continue;
    }
    if (!stat.isFile() || (stat.mode & 0o111) === 0) continue;
    if (stat.uid !== 0 && stat.uid !== process.geteuid?.())
      refused.push(`${file}: belongs to another user`);
    else if ((stat.mode & 0o022) !== 0) refused.push(`${file}: others may write to it`);
    else files.push(file);
  }
  return { files, refused };
}

const unreadable = (folder: string, { code, message }: NodeJS.ErrnoException): Executables => ({
  files: [],
  refused: code === 'ENOENT' ? [] : [`${folder}: ${message}`],
});
