import { type ChildProcess, spawn } from 'node:child_process';
import path from 'node:path';
import { createInterface } from 'node:readline';
import type { Wire } from '../../simulator/wire.ts';
import { Compiler } from '../native/compiler.ts';
import type { Scope } from '../native/pairs.ts';

const SOURCES = ['test/ondemand/holder.cpp', 'native/core/socket.cpp'];

/** Why the stand-in for systemd can't be built here; undefined when it can. */
export function missingHolder(): string | undefined {
  const compiler = new Compiler();
  try {
    return compiler.missing([]);
  } finally {
    compiler.remove();
  }
}

/** Builds it; it goes with the scope. */
export function buildHolder(scope: Scope): string {
  const compiler = new Compiler();
  scope.after(() => compiler.remove());
  return compiler.build('holder', [], SOURCES);
}

export interface HolderOptions {
  /** What `buildHolder` gave. */
  readonly program: string;
  readonly wire: Wire;
  readonly socketPath: string;
  readonly command: readonly string[];
  readonly env: NodeJS.ProcessEnv;
}

/**
 * The stand-in for systemd: holds a channel and starts the daemon when something is to be read from
 * it.
 */
export class Holder {
  readonly lines: string[] = [];
  /** The daemon's log. */
  readonly log: string[] = [];
  readonly exited: Promise<void>;
  /** When the daemon was started last, and how often it was (performance.now()). */
  startedMs = 0;
  starts = 0;
  ends = 0;
  /** Statuses other than 0 that the daemon ended with. */
  readonly failures: number[] = [];
  isRunning = false;
  pid = 0;
  hungUp = false;
  readonly #child: ChildProcess;
  #waiting: (() => void)[] = [];

  constructor({ program, wire, socketPath, command, env }: HolderOptions) {
    this.#child = spawn(program, [wire, socketPath, ...command], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env,
    });
    this.exited = new Promise((resolve) => this.#child.on('close', () => resolve()));
    createInterface({ input: this.#child.stdout! }).on('line', (line) => this.#onLine(line));
    createInterface({ input: this.#child.stderr! }).on('line', (line) => this.log.push(line));
    void this.exited.then(() => this.#wake());
  }

  /** Resolves once it is true; rejects when the stand-in ends before. */
  async until(isTrue: () => boolean): Promise<void> {
    let gone = false;
    void this.exited.then(() => {
      gone = true;
    });
    while (!isTrue()) {
      if (gone)
        throw new Error(
          `the holder ended; it said:\n${[...this.lines, ...this.log].slice(-20).join('\n')}`,
        );
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  /** Resolves when no daemon runs. */
  asleep(): Promise<void> {
    return this.until(() => this.starts > 0 && !this.isRunning);
  }

  /** As `systemctl restart` of the service. */
  restart(): void {
    this.#child.kill('SIGUSR1');
  }

  kill(): void {
    process.kill(this.pid, 'SIGKILL');
  }

  /** As `systemctl stop` of both units. */
  async stop(): Promise<void> {
    this.#child.kill('SIGTERM');
    await this.exited;
  }

  #onLine(line: string): void {
    this.lines.push(line);
    const [word, value] = line.split(' ');
    if (word === 'started') {
      this.starts++;
      this.startedMs = performance.now();
      this.isRunning = true;
      this.pid = Number(value);
    } else if (word === 'ended') {
      this.ends++;
      this.isRunning = false;
      if (value !== '0') this.failures.push(Number(value));
    } else if (word === 'hung') this.hungUp = true;
    this.#wake();
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

/** The command line of a built daemon. */
export const daemonCommand = (bin: string, name: string, args: readonly string[]): string[] => [
  process.execPath,
  path.join(bin, name),
  ...args,
];
