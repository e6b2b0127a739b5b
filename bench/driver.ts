/** Runs driver/driver.c or driver/fcopy.c, which play the host for one daemon and measure it. */
import { type ChildProcess, spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import readline from 'node:readline';
import { compile } from '../test/compat/reference.ts';

/** Cores for the driver and for the daemon. */
export interface Cores {
  readonly driver: number;
  readonly daemon: number;
}

export interface OperationResult {
  readonly medianNs: number;
  /** Replies that said something else than the first. */
  readonly differing: number;
  readonly status: number;
  readonly key?: string;
  readonly value?: string;
}

export interface TimeResult {
  /** All operations of one repetition together. */
  readonly medianNs: number;
  readonly operations: readonly OperationResult[];
}

export interface WalkResult {
  readonly totalNs: number;
  readonly asked: number;
  readonly wrong: number;
}

export interface Memory {
  readonly rssKiB: number;
  readonly pssKiB: number;
  readonly threads: number;
}

export interface CopyResult {
  /** From the start message to the answer to the complete message. */
  readonly ns: number;
  /** Of the daemon, meanwhile. */
  readonly cpuNs: number;
  /** The first that was no success. */
  readonly status: number;
  /** The file holds what was sent. */
  readonly whole: boolean;
}

export interface DriverOptions {
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly socketPath: string;
  readonly cores: Cores;
  /** Measures file copies over this wire with driver/fcopy.c, instead of KVP. */
  readonly fcopy?: 'device' | 'ring';
  /** The command is no daemon: it is ready at the first byte it prints. */
  readonly byOutput?: boolean;
}

const fromHex = (hex: string | undefined): string | undefined =>
  hex === undefined ? undefined : Buffer.from(hex, 'hex').toString();

export class Driver {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #ended: Promise<void>;
  pid = 0;
  /** From fork to the registration (or the first byte printed). */
  startNs = 0;

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.#lines = readline.createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
    this.#ended = new Promise((resolve) => child.on('close', () => resolve()));
  }

  static async start(options: DriverOptions): Promise<Driver> {
    const source = options.fcopy ? 'driver/fcopy.c' : 'driver/driver.c';
    const program = compile(path.join(import.meta.dirname, source), 'program');
    fs.rmSync(options.socketPath, { force: true });
    const args = ['-c', String(options.cores.driver), '-d', String(options.cores.daemon)];
    for (const [name, value] of Object.entries(options.env)) args.push('-e', `${name}=${value}`);
    if (options.byOutput) args.push('-o');
    if (options.fcopy) args.push(options.fcopy);
    const child = spawn(program, [...args, options.socketPath, ...options.command], {
      // Daemons log there; what the driver itself has to say ends with its exit status
      stdio: ['pipe', 'pipe', process.env['BENCH_STDERR'] === undefined ? 'ignore' : 'inherit'],
    });
    const driver = new Driver(child);
    const { pid, startNs } = await driver.#next<{ pid: number; startNs: number }>(
      'the start of the daemon',
    );
    driver.pid = pid;
    driver.startNs = startNs;
    return driver;
  }

  async #next<T>(what: string): Promise<T> {
    const { value, done } = await this.#lines.next();
    if (done) {
      await this.#ended;
      throw new Error(
        `the driver ended with status ${this.#child.exitCode} during ${what} (BENCH_STDERR=1 ` +
          'shows why)',
      );
    }
    return JSON.parse(value) as T;
  }

  #ask<T>(line: string): Promise<T> {
    this.#child.stdin!.write(`${line}\n`);
    return this.#next<T>(line);
  }

  /**
   * All operations in turn, `repeats` times: `enum:POOL:INDEX`, `get:POOL:KEY`,
   * `set:POOL:KEY=VALUE`, `del:POOL:KEY`.
   */
  async time(repeats: number, ...operations: readonly string[]): Promise<TimeResult> {
    type Raw = OperationResult & { readonly keyHex?: string; readonly valueHex?: string };
    const raw = await this.#ask<{ medianNs: number; operations: Raw[] }>(
      `time ${repeats} ${operations.join(' ')}`,
    );
    return {
      medianNs: raw.medianNs,
      operations: raw.operations.map(({ medianNs, differing, status, keyHex, valueHex }) => {
        const [key, value] = [fromHex(keyHex), fromHex(valueHex)];
        return {
          medianNs,
          differing,
          status,
          ...(key !== undefined && { key }),
          ...(value !== undefined && { value }),
        };
      }),
    };
  }

  /** Enumerates every `step`th index below `records`, whose keys must be key000000 and so on. */
  walk(pool: number, records: number, step: number): Promise<WalkResult> {
    return this.#ask(`walk ${pool} ${records} ${step}`);
  }

  /** Sets `count` new keys, numbered from `from`. */
  grow(pool: number, from: number, count: number): Promise<WalkResult> {
    return this.#ask(`grow ${pool} ${from} ${count}`);
  }

  /** Copies `bytes` bytes to a file of this name, both without spaces; others at each call. */
  copy(folder: string, name: string, bytes: number): Promise<CopyResult> {
    return this.#ask(`copy ${folder} ${name} ${bytes}`);
  }

  memory(): Memory {
    const status = fs.readFileSync(`/proc/${this.pid}/status`, 'utf8');
    const rollup = fs.readFileSync(`/proc/${this.pid}/smaps_rollup`, 'utf8');
    const field = (text: string, name: string): number =>
      Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(text)?.[1]);
    return {
      rssKiB: field(status, 'VmRSS'),
      pssKiB: field(rollup, 'Pss'),
      threads: field(status, 'Threads'),
    };
  }

  /** Ends the daemon, then the driver. */
  async end(): Promise<void> {
    this.#child.stdin!.end();
    await this.#ended;
  }
}
