/**
 * One VSS daemon under comparison, ours or Debian's, behind a bare device, among scratch file
 * systems: the C daemon freezes whatever it finds, so it never runs anywhere else.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { native } from '../../native/index.ts';
import type { Listener, MessageChannel } from '../../native/interface.ts';
import type { Scratch } from '../../simulator/stages/scratch.ts';
import { DaemonGone } from './raw-host.ts';
import { findCDaemon, ownDaemon, shimmed } from './reference.ts';
import type { Kind } from './subject.ts';

/** struct hv_vss_msg and enum hv_vss_op of include/uapi/linux/hyperv.h, by hand. */
const MESSAGE_BYTES = 12;
const REGISTER = 129;
export const Operation = { checkHotBackup: 2, freeze: 5, thaw: 6 } as const;

/** For a machine that is busy with other things. */
const LIMIT_MS = 300_000;

/** hv_utils at its barest: sends an operation, gives the status. */
class Device {
  readonly #listener: Listener;
  readonly #buffer = new Uint8Array(MESSAGE_BYTES + 1);
  #channel: MessageChannel | undefined;
  #registrations: (() => void)[] = [];
  #pending: { resolve: (status: number) => void; reject: (error: Error) => void } | undefined;

  constructor(socketPath: string) {
    this.#listener = native.listen(socketPath);
    this.#listener.start(
      (fd) => this.#accept(fd),
      () => {},
    );
  }

  nextRegistration(): Promise<void> {
    return new Promise((resolve) => {
      this.#registrations.push(resolve);
    });
  }

  ask(operation: number): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#pending = { resolve, reject };
      const message = new Uint8Array(MESSAGE_BYTES);
      message[0] = operation;
      try {
        if (!this.#channel) throw new Error('no daemon has the device open');
        this.#channel.write(message);
      } catch (error) {
        this.hangUp((error as Error).message);
      }
    });
  }

  hangUp(why = 'the daemon closed the device'): void {
    this.#channel?.close();
    this.#channel = undefined;
    this.#pending?.reject(new DaemonGone(why));
    this.#pending = undefined;
  }

  close(): void {
    this.#listener.close();
    this.hangUp();
  }

  #accept(fd: number): void {
    this.hangUp();
    const channel = native.adoptMessageChannel(fd);
    this.#channel = channel;
    let registered = false;
    channel.start(
      this.#buffer,
      (length) => {
        if (registered) {
          const pending = this.#pending;
          this.#pending = undefined;
          if (length === MESSAGE_BYTES) pending?.resolve(Buffer.from(this.#buffer).readUInt32LE(0));
          else pending?.reject(new Error(`a reply of ${length} bytes`));
        } else if (length === MESSAGE_BYTES && this.#buffer[0] === REGISTER) {
          registered = true;
          channel.write(Uint8Array.of(REGISTER, 0, 0, 0));
          for (const resolve of this.#registrations.splice(0)) resolve();
        } else this.hangUp();
      },
      () => this.hangUp(),
    );
  }
}

export class VssSubject {
  readonly kind: Kind;
  readonly device: Device;
  readonly #scratch: Scratch;
  readonly #folder: string;
  readonly configFile: string;
  /** Where ours lists what is frozen. */
  readonly recordPath: string;
  #child: ChildProcess | undefined;
  #exited: Promise<unknown> = Promise.resolve();
  #errors = '';

  constructor(kind: Kind, scratch: Scratch) {
    this.kind = kind;
    this.#scratch = scratch;
    this.#folder = fs.mkdtempSync(path.join(scratch.shared, `${kind}-`));
    this.configFile = path.join(this.#folder, 'config.toml');
    this.recordPath = path.join(this.#folder, 'record');
    fs.writeFileSync(
      this.configFile,
      `[vss]
hooks_directories = []
status_file = "${this.#folder}/status.json"
record_file = "${this.recordPath}"
`,
    );
    this.device = new Device(path.join(this.#folder, 'device'));
  }

  get pid(): number {
    return this.#child!.pid!;
  }

  /** Starts the daemon, and waits until it registered. */
  async start(): Promise<void> {
    const [program, ...args] = this.#scratch.enter(this.#command());
    const { NODE_OPTIONS: _, ...environment } = process.env;
    const registered = this.device.nextRegistration();
    const child = spawn(program, args, {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...environment, ...shimmed(path.join(this.#folder, 'device')) },
    });
    this.#child = child;
    this.#errors = '';
    child.stderr!.on('data', (chunk) => {
      this.#errors += chunk;
    });
    this.#exited = new Promise((resolve) => child.once('close', resolve));
    const early = this.#exited.then((code) => {
      throw new Error(`the daemon ended with ${code} before it registered: ${this.#errors}`);
    });
    await this.#inTime('the daemon did not register', Promise.race([registered, early]));
  }

  /** The status. */
  ask(operation: number): Promise<number> {
    return this.#inTime(`no answer to operation ${operation}`, this.device.ask(operation));
  }

  /** Ends the daemon and waits for its end. */
  async end(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    this.#child?.kill(signal);
    await this.#exited;
  }

  async dispose(): Promise<void> {
    await this.end('SIGKILL');
    this.device.close();
  }

  /**
   * Debian's daemon leaves loop devices out, and tells them by what /sys says: it gets an empty
   * one.
   */
  #command(): string[] {
    const hidden = 'mount -t tmpfs hidden /sys && exec "$@"';
    return this.kind === 'c'
      ? ['unshare', '--mount', 'sh', '-c', hidden, 'sh', findCDaemon('hv_vss_daemon')!, '-n']
      : [
          process.execPath,
          path.join(path.dirname(ownDaemon), 'vmic-vss'),
          '--config',
          this.configFile,
        ];
  }

  async #inTime<T>(what: string, work: Promise<T>): Promise<T> {
    work.catch(() => {});
    const deadline = new AbortController();
    const late = setTimeout(LIMIT_MS, undefined, { signal: deadline.signal }).then((): never => {
      throw new Error(`${what} within ${LIMIT_MS / 1000} s: ${this.#errors}`);
    });
    late.catch(() => {});
    try {
      return await Promise.race([work, late]);
    } finally {
      deadline.abort();
    }
  }
}
