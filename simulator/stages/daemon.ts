import { type ChildProcess, spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { locateBundle } from '../../native/locate.ts';
import { deferred } from '../wire.ts';

/**
 * The folder with the programs: VMIC_PROGRAMS of the environment (scripts/dev.mjs runs sources), or
 * where the built ones are.
 */
export const binFolder = (): string =>
  process.env['VMIC_PROGRAMS'] ?? path.dirname(locateBundle('vmic-kvp'));

/** A temporary folder for one host and one daemon: the socket, and a folder with the pools. */
export class Ground {
  readonly folder: string;
  readonly socketPath: string;
  readonly poolFolder: string;
  /** A configuration of its own, so that the machine's has no say. */
  readonly configFile: string;

  constructor(parent = os.tmpdir()) {
    this.folder = fs.mkdtempSync(path.join(parent, 'vmic-'));
    this.socketPath = path.join(this.folder, 'host.sock');
    this.poolFolder = path.join(this.folder, 'hyperv');
    this.configFile = path.join(this.folder, 'config.toml');
    fs.mkdirSync(this.poolFolder);
    fs.writeFileSync(this.configFile, '');
  }

  poolFile(pool: number): string {
    return path.join(this.poolFolder, `.kvp_pool_${pool}`);
  }

  dispose(): void {
    fs.rmSync(this.folder, { recursive: true, force: true });
  }
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** One line of the daemon's log. */
export interface LogLine {
  readonly level: string;
  readonly message: string;
  readonly [field: string]: unknown;
}

export interface DaemonOptions {
  readonly ground: Ground;
  /** Of the host: "unix:..." or "unix-ring:...". */
  readonly transport: string;
  /** Instead of bin/vmic-kvp with its options. */
  readonly command?: readonly string[];
  /** Further arguments after those of bin/vmic-kvp. */
  readonly args?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  readonly onLog?: (line: LogLine) => void;
}

/** What is kept of a daemon's output: a flooded daemon must not fill its watcher's memory. */
const MAX_LOG_LINES = 10_000;
/** Only there against waiting for ever. */
const KILL_AFTER_MS = 60_000;

/** A real daemon in a process of its own. */
export class DaemonProcess {
  readonly pid: number;
  readonly logs: LogLine[] = [];
  /** Lines on standard error that are no JSON. */
  readonly noise: string[] = [];
  readonly exited: Promise<Exit>;
  exit: Exit | undefined;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, onLog: (line: LogLine) => void) {
    this.#child = child;
    this.pid = child.pid!;
    const done = deferred<Exit>();
    this.exited = done.promise;
    let rest = '';
    child.stderr!.setEncoding('utf8').on('data', (chunk: string) => {
      const lines = (rest + chunk).split('\n');
      rest = lines.pop()!;
      for (const line of lines) this.#onLine(line, onLog);
    });
    child.on('close', (code, signal) => {
      if (rest !== '') this.#onLine(rest, onLog);
      this.exit = { code, signal };
      done.resolve(this.exit);
    });
  }

  /**
   * Rejects when it can't be started at all. Does not wait until it serves: the host knows when
   * that is (`ready()`).
   */
  static async start(options: DaemonOptions): Promise<DaemonProcess> {
    const { ground } = options;
    const command = options.command ?? [
      process.execPath,
      path.join(binFolder(), 'vmic-kvp'),
      '-n',
      '--config',
      ground.configFile,
      '--transport',
      options.transport,
      '--set',
      `kvp.pool_directory=${ground.poolFolder}`,
      ...(options.args ?? []),
    ];
    const { JOURNAL_STREAM: _j, NOTIFY_SOCKET: _n, NODE_OPTIONS: _o, ...env } = process.env;
    const child = spawn(command[0]!, command.slice(1), {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...env, ...options.env },
      // Ctrl-C goes to a whole process group; its owner stops the daemon, in its own order
      detached: true,
    });
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', reject);
    });
    return new DaemonProcess(child, options.onLog ?? (() => {}));
  }

  /** Resident memory in bytes, from /proc. */
  rssBytes(): number {
    const match = /^VmRSS:\s+(\d+) kB$/m.exec(fs.readFileSync(`/proc/${this.pid}/status`, 'utf8'));
    return Number(match?.[1]) * 1024;
  }

  signal(signal: NodeJS.Signals): void {
    if (this.exit === undefined) this.#child.kill(signal);
  }

  /** SIGTERM, and SIGKILL for one that does not listen; gives how it ended. */
  async stop(): Promise<Exit> {
    this.signal('SIGTERM');
    const timer = setTimeout(() => this.signal('SIGKILL'), KILL_AFTER_MS);
    try {
      return await this.exited;
    } finally {
      clearTimeout(timer);
    }
  }

  /** The first log line, past or future, that fits. Rejects when the daemon ends without one. */
  async log(fits: (line: LogLine) => boolean): Promise<LogLine> {
    for (let seen = 0; ; ) {
      for (; seen < this.logs.length; seen++) if (fits(this.logs[seen]!)) return this.logs[seen]!;
      if (this.exit)
        throw new Error(
          `the daemon ended without the awaited log line; it said:\n${this.transcript()}`,
        );
      await Promise.race([new Promise((resolve) => setTimeout(resolve, 10)), this.exited]);
    }
  }

  /** The last it said, for failure messages. */
  transcript(): string {
    return [
      ...this.logs.slice(-10).map((line) => JSON.stringify(line)),
      ...this.noise.slice(-20),
    ].join('\n');
  }

  #onLine(line: string, onLog: (line: LogLine) => void): void {
    if (this.logs.length + this.noise.length >= MAX_LOG_LINES) return;
    try {
      const parsed = JSON.parse(line) as LogLine;
      this.logs.push(parsed);
      onLog(parsed);
    } catch {
      this.noise.push(line);
    }
  }
}
