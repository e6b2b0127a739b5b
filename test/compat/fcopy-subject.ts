/**
 * One file copy daemon under comparison, ours or a C one, behind a bare host, with a folder of its
 * own for everything it can reach.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { native } from '../../native/index.ts';
import { binFolder } from '../../simulator/stages/daemon.ts';
import { FcopyRawHost } from './fcopy-host.ts';
import { RING_BYTES } from './fcopy-links.ts';
import type { Link } from './fcopy-messages.ts';
import { findCDaemon, findUioDaemon, shimmedFcopy } from './reference.ts';
import { untilRegistered } from './registration.ts';
import type { Kind } from './subject.ts';

export class FcopySubject {
  readonly kind: Kind;
  readonly folder = fs.mkdtempSync(path.join(os.tmpdir(), 'vmic-compat-'));
  /** Where files are copied to. */
  readonly target = path.join(this.folder, 'target');
  /** The daemon's working folder, where relative names end up. */
  readonly cwd = path.join(this.folder, 'cwd');
  /** The file it has as its standard input. */
  readonly stdin = path.join(this.folder, 'stdin');
  readonly host: FcopyRawHost;
  readonly #socket = path.join(this.folder, 'socket');
  #child: ChildProcess | undefined;
  #exited: Promise<string> = Promise.resolve('never started');
  #errors = '';

  constructor(kind: Kind, link: Link) {
    this.kind = kind;
    for (const folder of [this.target, this.cwd]) fs.mkdirSync(folder, { mode: 0o755 });
    const own =
      `[fcopy]\nroots = ["${this.folder}"]\nstatus_file = ` +
      `"${path.join(this.folder, 'status.json')}"\n`;
    fs.writeFileSync(path.join(this.folder, 'config.toml'), own);
    this.host = new FcopyRawHost(native, link, this.#socket);
  }

  get pid(): number {
    return this.#child!.pid!;
  }

  /** How it ended; undefined while it runs. */
  get ended(): string | undefined {
    const { exitCode, signalCode } = this.#child!;
    return signalCode ?? (exitCode === null ? undefined : `status ${exitCode}`);
  }

  get exited(): Promise<string> {
    return this.#exited;
  }

  /**
   * Starts the daemon, and waits until it registered. `within` is a command which takes another one
   * as its last arguments; `settings` are for ours.
   */
  async start(settings: readonly string[] = [], within: readonly string[] = []): Promise<void> {
    const { link } = this.host;
    const c = this.kind === 'c';
    const program = link === 'device' ? findCDaemon('hv_fcopy_daemon') : findUioDaemon();
    const transport = `${link === 'device' ? 'unix' : 'unix-ring'}:${this.#socket}`;
    const own = ['--config', path.join(this.folder, 'config.toml'), '--transport', transport];
    const command = [
      ...within,
      ...(c ? [program!, '-n'] : [process.execPath, path.join(binFolder(), 'vmic-fcopy'), ...own]),
      ...(c ? [] : settings.flatMap((setting) => ['--set', setting])),
    ];
    const { NODE_OPTIONS: _, ...environment } = process.env;
    const stdin = fs.openSync(this.stdin, 'a+');
    // Not for appending: where it writes shall show
    fs.closeSync(stdin);
    const input = fs.openSync(this.stdin, 'r+');
    const registered = this.host.nextReady();
    const child = spawn(command[0]!, command.slice(1), {
      stdio: [input, 'ignore', 'pipe'],
      cwd: within.length > 0 ? this.folder : this.cwd,
      env: { ...environment, ...(c ? shimmedFcopy(this.#socket, this.folder, RING_BYTES) : {}) },
    });
    fs.closeSync(input);
    this.#child = child;
    this.#errors = '';
    child.stderr!.on('data', (chunk) => {
      this.#errors += chunk;
    });
    const exited = new Promise<string>((resolve) =>
      child.once('close', () => resolve(this.ended ?? 'unknown')),
    );
    this.#exited = exited;
    await untilRegistered({ registered, exited, errors: () => this.#errors });
  }

  /** The files that it has open in the folders it may write to. */
  openFiles(): string[] {
    const folder = `/proc/${this.pid}/fd`;
    return fs.readdirSync(folder).flatMap((fd) => {
      try {
        const name = fs.readlinkSync(path.join(folder, fd));
        const inside = [this.target, this.cwd].some((own) => name.startsWith(`${own}/`));
        return inside ? [path.relative(this.folder, name)] : [];
      } catch {
        return []; // closed meanwhile
      }
    });
  }

  /** What it said on standard error. */
  get errors(): string {
    return this.#errors;
  }

  /** Ends the daemon and waits for its end. */
  async end(signal: NodeJS.Signals = 'SIGTERM'): Promise<string> {
    this.#child?.kill(signal);
    return this.#exited;
  }

  async dispose(): Promise<void> {
    await this.end('SIGKILL');
    this.host.close();
    fs.rmSync(this.folder, { recursive: true, force: true });
  }
}
