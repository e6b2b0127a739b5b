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

/**
 * What a daemon says of itself: one JSON object in one file, replaced as a whole. `Details` is what
 * the service itself adds; daemons/NAME/status.ts declares it.
 */
export interface ServiceStatus<Details extends object = Readonly<Record<string, unknown>>>
  extends StatusHead {
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
  readonly details?: Details;
}

/** Where a service wants its status, beside the usual place. */
export interface StatusPlace {
  /** The file that the configuration names. */
  readonly file: string;
  /** It stays when the process ends, because a later one goes on with it. */
  readonly outlives?: boolean;
}

export const statusFile = (directory: string, service: string): string =>
  path.join(directory, 'status', `${service}.json`);

/** The usual file of a service, where no $RUNTIME_DIRECTORY says otherwise. */
export const usualStatusFile = (service: string): string =>
  statusFile(DEFAULT_RUNTIME_DIRECTORY, service);

/**
 * Returns undefined when there is no such file. Throws an Error when it is no status of that
 * service, and what the file system does.
 */
export const readServiceStatus = (file: string, service: string): ServiceStatus | undefined =>
  readStatusFile<ServiceStatus>(file, service, (status) => typeof status.counters === 'object');

/**
 * Returns what a service adds to its status, with the head; undefined when there is no such file.
 * Throws as `readServiceStatus`, also when the details are not whole.
 */
export function readDetails<Details extends object, Service extends string>(
  file: string,
  service: Service,
  isWhole: (details: Partial<Details>) => boolean,
): (StatusHead & { readonly service: Service } & Details) | undefined {
  const status = readStatusFile<ServiceStatus<Details> & { readonly service: Service }>(
    file,
    service,
    ({ details }) => typeof details === 'object' && details !== null && isWhole(details),
  );
  if (status?.details === undefined) return undefined;
  const { process, uptimeSecs: writtenSecs, details } = status;
  return { ...details, service, process, uptimeSecs: writtenSecs };
}

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

type Told = Omit<
  ServiceStatus<object>,
  'service' | 'process' | 'uptimeSecs' | 'lastRequestUptimeSecs'
> & {
  readonly lastRequestMs: number | undefined;
};

/**
 * Keeps a daemon's status file. A change of state is written at once; traffic only now and then, by
 * a timer that runs only after there was some, so that it costs requests nothing and an idle daemon
 * sleeps.
 */
export class StatusPublisher {
  readonly #files: readonly string[];
  readonly #outlives: boolean;
  readonly #service: string;
  readonly #log: Pick<Log, 'warning'>;
  readonly #now: MonotonicMs;
  readonly #tell: () => Told;
  readonly #isHeld: () => boolean;
  readonly #identity = ownIdentity();
  #timer: NodeJS.Timeout | undefined;
  /** The last write failed, and that was logged. */
  #failed = false;

  /**
   * @param directory as in $RUNTIME_DIRECTORY; undefined: only a `place` gets the status.
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
      place,
    }: {
      readonly log: Pick<Log, 'warning'>;
      readonly now: MonotonicMs;
      readonly tell: () => Told;
      readonly isHeld?: () => boolean;
      readonly place?: StatusPlace | undefined;
    },
  ) {
    this.#files = statusFiles(directory, service, place);
    this.#outlives = place?.outlives ?? false;
    this.#service = service;
    this.#log = log;
    this.#now = now;
    this.#tell = tell;
    this.#isHeld = isHeld;
  }

  get file(): string | undefined {
    return this.#files[0];
  }

  /** Called with each message. */
  traffic(): void {
    if (this.#timer !== undefined || this.#files.length === 0) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.write();
    }, TRAFFIC_INTERVAL_MS);
    this.#timer.unref();
  }

  write(): void {
    if (this.#files.length === 0) return;
    if (this.#isHeld()) {
      this.traffic();
      return;
    }
    // Traffic until now is told with this
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const { lastRequestMs, ...told } = this.#tell();
    const now = uptimeSecs();
    const status: ServiceStatus<object> = {
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
    const hadFailed = this.#failed;
    this.#failed = false;
    for (const file of this.#files) {
      try {
        writeJson(file, status);
      } catch (error) {
        this.#failed = true;
        if (!hadFailed) this.#log.warning("The status file can't be written", { error });
      }
    }
  }

  close(): void {
    clearTimeout(this.#timer);
  }

  /** Where the service's own process says no more: nobody runs. Keeps a file that outlives it. */
  remove(): void {
    this.close();
    if (this.#outlives) return;
    for (const file of this.#files) fs.rmSync(file, { force: true });
  }
}

/**
 * Returns the files that get a service's status. That in $RUNTIME_DIRECTORY comes first. It stands
 * for the usual one, so that a `place` which names no other file adds none.
 */
export function statusFiles(
  directory: string | undefined,
  service: string,
  place: StatusPlace | undefined,
): string[] {
  const files = directory === undefined ? [] : [statusFile(directory, service)];
  if (place === undefined || files.includes(place.file)) return files;
  const isUsual = place.file === usualStatusFile(service);
  return isUsual && files.length > 0 ? files : [...files, place.file];
}

/** $RUNTIME_DIRECTORY, the first of them (systemd.exec(5)). */
export const runtimeDirectory = (env: NodeJS.ProcessEnv): string | undefined =>
  env['RUNTIME_DIRECTORY']?.split(':')[0] || undefined;
