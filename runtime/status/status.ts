import fs from 'node:fs';
import path from 'node:path';
import type { MonotonicMs } from '../clock.ts';
import type { Log } from '../log.ts';
import type { Peer } from '../service.ts';
import {
  ownIdentity,
  readStatusFile,
  type StatusHead,
  uptimeSecs,
  writeJson,
} from './status-file.ts';

/** Where the daemons' status files are: RuntimeDirectory=vmic of the units. */
export const DEFAULT_RUNTIME_DIRECTORY = '/run/vmic';

/** What a daemon says of itself: one JSON object in a file of its own, replaced as a whole. */
export interface ServiceStatus extends StatusHead {
  /** `waiting`: for its device. `left`: ended on purpose, to be started with the next request. */
  readonly state: 'waiting' | 'serving' | 'left';
  readonly transport: string;
  /** Somebody else holds the channel, and starts the daemon when a request comes. */
  readonly onDemand: boolean;
  /** What it waits for. */
  readonly waitingFor?: string;
  readonly peer?: Peer;
  readonly lastRequestUptimeSecs?: number;
  /** Of this process. */
  readonly counters: Readonly<Record<string, number>>;
  /** What the service itself adds. */
  readonly details?: Readonly<Record<string, unknown>>;
}

export const statusFile = (directory: string, service: string): string =>
  path.join(directory, 'status', `${service}.json`);

/**
 * Undefined when there is no such file. Throws an Error when it is no status of that service, and
 * what the file system does.
 */
export const readServiceStatus = (file: string, service: string): ServiceStatus | undefined =>
  readStatusFile<ServiceStatus>(file, service, (status) => typeof status.counters === 'object');

/**
 * Who answered an earlier life of this service, from its status file. Undefined when there is none,
 * or when others than root and ourselves could have written it.
 */
export function readPeer(file: string, service: string): Peer | undefined {
  try {
    const stat = fs.lstatSync(file);
    const isOurs = stat.uid === 0 || stat.uid === process.geteuid?.();
    if (!stat.isFile() || !isOurs || (stat.mode & 0o022) !== 0) return undefined;
    const peer: unknown = readServiceStatus(file, service)?.peer;
    return isPeer(peer) ? peer : undefined;
  } catch {
    return undefined;
  }
}

function isPeer(value: unknown): value is Peer {
  const { via, versionText, framework, message } = (value ?? {}) as Record<string, unknown>;
  return via === 'hv_utils'
    ? typeof versionText === 'string'
    : via === 'vmbus' && isVersion(framework) && isVersion(message);
}

function isVersion(value: unknown): boolean {
  const { major, minor } = (value ?? {}) as Record<string, unknown>;
  return Number.isInteger(major) && Number.isInteger(minor);
}

/** Traffic is told of at most this often. */
export const TRAFFIC_INTERVAL_MS = 2000;

type Told = Omit<ServiceStatus, 'service' | 'process' | 'uptimeSecs' | 'lastRequestUptimeSecs'> & {
  readonly lastRequestMs: number | undefined;
};

/**
 * Keeps a daemon's status file. A change of state is written at once; traffic only now and then, by
 * a timer that runs only after there was some, so that it costs requests nothing and an idle daemon
 * sleeps.
 */
export class StatusPublisher {
  readonly #file: string | undefined;
  readonly #service: string;
  readonly #log: Pick<Log, 'warning'>;
  readonly #now: MonotonicMs;
  readonly #tell: () => Told;
  readonly #isHeld: () => boolean;
  readonly #identity = ownIdentity();
  #timer: NodeJS.Timeout | undefined;

  /**
   * @param directory as in $RUNTIME_DIRECTORY; undefined: nobody wants to know.
   * @param isHeld nothing may be written now, as while file systems are frozen; that is made up for
   * afterwards.
   */
  constructor(
    directory: string | undefined,
    service: string,
    {
      log,
      now,
      tell,
      isHeld = () => false,
    }: {
      readonly log: Pick<Log, 'warning'>;
      readonly now: MonotonicMs;
      readonly tell: () => Told;
      readonly isHeld?: () => boolean;
    },
  ) {
    this.#file = directory === undefined ? undefined : statusFile(directory, service);
    this.#service = service;
    this.#log = log;
    this.#now = now;
    this.#tell = tell;
    this.#isHeld = isHeld;
  }

  get file(): string | undefined {
    return this.#file;
  }

  /** Called with each message. */
  traffic(): void {
    if (this.#timer !== undefined || this.#file === undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.write();
    }, TRAFFIC_INTERVAL_MS);
    this.#timer.unref();
  }

  write(): void {
    if (this.#file === undefined) return;
    if (this.#isHeld()) {
      this.traffic();
      return;
    }
    const { lastRequestMs, ...told } = this.#tell();
    const now = uptimeSecs();
    const status: ServiceStatus = {
      service: this.#service,
      process: this.#identity,
      uptimeSecs: now,
      ...told,
      ...(lastRequestMs === undefined
        ? {}
        : {
            lastRequestUptimeSecs:
              Math.round((now - (this.#now() - lastRequestMs) / 1000) * 100) / 100,
          }),
    };
    try {
      writeJson(this.#file, status);
    } catch (error) {
      this.#log.warning("The status file can't be written", { error });
    }
  }

  close(): void {
    clearTimeout(this.#timer);
  }

  /** Where the service's own process says no more: nobody runs. */
  remove(): void {
    this.close();
    if (this.#file !== undefined) fs.rmSync(this.#file, { force: true });
  }
}

/** $RUNTIME_DIRECTORY, the first of them (systemd.exec(5)). */
export const runtimeDirectory = (env: NodeJS.ProcessEnv): string | undefined =>
  env['RUNTIME_DIRECTORY']?.split(':')[0] || undefined;
