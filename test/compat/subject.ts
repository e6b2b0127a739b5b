/** One daemon under comparison, ours or Debian's, behind a bare device, with pools of its own. */
import { type ChildProcess, spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { native } from '../../native/index.ts';
import { RawHost } from './raw-host.ts';
import { findCDaemon, ownDaemon, shimmed } from './reference.ts';
import { untilRegistered } from './registration.ts';

export const RECORD_BYTES = 2560;
export const KEY_BYTES = 512;

export type Kind = 'vmic' | 'c';

export interface PoolRecord {
  readonly key: string;
  readonly value: string;
}

export class Subject {
  readonly kind: Kind;
  readonly folder = fs.mkdtempSync(path.join(os.tmpdir(), 'vmic-compat-'));
  readonly pools = path.join(this.folder, 'hyperv');
  readonly host: RawHost;
  readonly #device = path.join(this.folder, 'device');
  #child: ChildProcess | undefined;
  #exited: Promise<unknown> = Promise.resolve();
  #errors = '';

  constructor(kind: Kind) {
    this.kind = kind;
    fs.mkdirSync(this.pools);
    fs.writeFileSync(path.join(this.folder, 'config.toml'), '');
    this.host = new RawHost(native, this.#device);
  }

  get pid(): number {
    return this.#child!.pid!;
  }

  /** Starts the daemon, and waits until it registered. */
  async start(): Promise<void> {
    const own = [
      '-n',
      '--config',
      path.join(this.folder, 'config.toml'),
      '--set',
      `kvp.pool_directory=${this.pools}`,
    ];
    const command =
      this.kind === 'c' ? [findCDaemon()!, '-n'] : [process.execPath, ownDaemon, ...own];
    const { NODE_OPTIONS: _, ...environment } = process.env;
    const registered = this.host.nextRegistration();
    const child = spawn(command[0]!, command.slice(1), {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...environment, ...shimmed(this.#device, this.pools) },
    });
    this.#child = child;
    this.#errors = '';
    child.stderr!.on('data', (chunk) => {
      this.#errors += chunk;
    });
    const exited = new Promise((resolve) => child.once('close', resolve));
    this.#exited = exited;
    await untilRegistered({ registered, exited, errors: () => this.#errors });
  }

  /** Ends the daemon and waits for its end. */
  async end(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    this.#child?.kill(signal);
    await this.#exited;
  }

  async dispose(): Promise<void> {
    await this.end('SIGKILL');
    this.host.close();
    fs.rmSync(this.folder, { recursive: true, force: true });
  }

  file(pool: number): string {
    return path.join(this.pools, `.kvp_pool_${pool}`);
  }

  bytes(pool: number): Buffer {
    return fs.readFileSync(this.file(pool));
  }

  write(pool: number, bytes: Uint8Array): void {
    fs.writeFileSync(this.file(pool), bytes);
  }
}

/** A pool file's bytes: what both daemons and every other program write. */
export function encodeRecords(records: readonly PoolRecord[]): Buffer {
  const bytes = Buffer.alloc(records.length * RECORD_BYTES);
  for (const [index, { key, value }] of records.entries()) {
    bytes.write(key, index * RECORD_BYTES);
    bytes.write(value, index * RECORD_BYTES + KEY_BYTES);
  }
  return bytes;
}

const cString = (bytes: Buffer): string => {
  const end = bytes.indexOf(0);
  return bytes.toString('utf8', 0, end < 0 ? bytes.length : end);
};

/** The whole records of a pool file, as a program reads them that stops at the first NUL. */
export function decodeRecords(bytes: Buffer): PoolRecord[] {
  const records: PoolRecord[] = [];
  for (let at = 0; at + RECORD_BYTES <= bytes.length; at += RECORD_BYTES) {
    records.push({
      key: cString(bytes.subarray(at, at + KEY_BYTES)),
      value: cString(bytes.subarray(at + KEY_BYTES, at + RECORD_BYTES)),
    });
  }
  return records;
}
