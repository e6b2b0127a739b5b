import type { NativeError } from './errors.ts';

/**
 * What a program is given. It gets nothing else: no other descriptor, no blocked or ignored signal.
 */
export interface ProgramOptions {
  /** What follows the file's name in argv. */
  readonly args: readonly string[];
  /** "NAME=value": all of the environment. */
  readonly env: readonly string[];
  /** Its working folder; by default ours. */
  readonly cwd?: string;
  /** What it reads from its standard input; by default nothing. */
  readonly input?: Uint8Array;
  /** So much is kept of each of its outputs, at most 64 MiB; the rest is read and dropped. */
  readonly outputBytes: number;
  /**
   * It is made at least this nice (-20 to 19) if the system allows it; by default it is as nice as
   * we are.
   */
  readonly niceness?: number;
}

/** How a program ended; "error": it was not started, or nobody knows. */
export type ProgramEnd =
  | {
      readonly reason: 'exit';
      readonly status: number;
      readonly output: Uint8Array;
      readonly errors: Uint8Array;
    }
  | {
      readonly reason: 'signal';
      readonly signal: number;
      readonly output: Uint8Array;
      readonly errors: Uint8Array;
    }
  | { readonly reason: 'error'; readonly error: NativeError };

/**
 * A program that was started, in a process group of its own. Its number is nobody else's until
 * `close`.
 */
export interface Program {
  /** Its process and process group; undefined before `onStart` and after `close`. */
  readonly pid: number | undefined;
  /**
   * Sends a signal (its number) to the group: before the start is known it is sent as soon as there
   * is one, and after the end to what the program left behind.
   */
  kill(signal: number): void;
  /**
   * Kills the group of a program that has not ended. One that can't even be killed is left alone.
   */
  close(): void;
}

/** What of `Native` starts programs. */
export interface NativePrograms {
  /**
   * Starts a program without a shell. A `file` with a slash is a path; any other is looked for in
   * PATH of `env`. Returns at once: a slow disk, a large process or an output that floods hold
   * nobody up. `onStart` is told once it runs; `onEnd` once it has ended and its outputs are read,
   * at most 200 ms later should somebody keep them open. All failures are told by `onEnd`: syscall
   * "execve" with `file` (ENOENT, EACCES, ENOEXEC: neither a program of this machine nor a script
   * with "#!"), "chdir" with `cwd`, others without a path. Only when there is no thread or
   * descriptor to be had this throws (EAGAIN, EMFILE).
   */
  startProgram(
    file: string,
    options: ProgramOptions,
    onStart: (pid: number) => void,
    onEnd: (end: ProgramEnd) => void,
  ): Program;
}
