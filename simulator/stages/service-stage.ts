import assert from 'node:assert/strict';
import path from 'node:path';
import type { Native } from '../../native/interface.ts';
import type { ServiceProtocol } from '../../protocol/service-protocol.ts';
import type { ServiceHost, ServiceView, WireTap } from '../wire.ts';
import { binFolder, DaemonProcess, type Exit, Ground, type LogLine } from './daemon.ts';
import { describeExit, within } from './stage.ts';

export interface ServiceStageOptions<Request, Reply extends { readonly status: number }> {
  readonly native: Native;
  readonly protocol: ServiceProtocol<Request, Reply>;
  readonly view: ServiceView<Request, Reply>;
  /**
   * Keys of the service's section in the configuration; by a function where they name places in the
   * stage's folder.
   */
  readonly settings?: (ground: Ground) => Readonly<Record<string, string | number | boolean>>;
  /**
   * Where the daemon runs when not beside us: what turns its command into one that starts it there,
   * and a folder that both see.
   */
  readonly place?: {
    enter(command: readonly string[]): readonly string[];
    readonly shared: string;
  };
  readonly tap?: WireTap;
  readonly onLog?: (line: LogLine) => void;
}

const READY_SECS = 120;
const STEP_SECS = 300;

/** All that are open, so that whoever is interrupted leaves nothing behind. */
export const openStages: Set<{ close(): Promise<unknown>; abandon(): void }> = new Set();

/** A simulated host and the real daemon of one service. */
export class ServiceStage<
  Request,
  Reply extends { readonly status: number },
  Host extends ServiceHost<Request, Reply> = ServiceHost<Request, Reply>,
> {
  readonly ground: Ground;
  readonly host: Host;
  /** What host and guest agreed on. */
  agreed = '';
  readonly #options: ServiceStageOptions<Request, Reply>;
  #daemon: DaemonProcess | undefined;
  #spawning: Promise<DaemonProcess> | undefined;

  constructor(
    options: ServiceStageOptions<Request, Reply>,
    makeHost: (socketPath: string) => Host,
  ) {
    this.#options = options;
    this.ground = new Ground(options.place?.shared);
    try {
      this.host = makeHost(this.ground.socketPath);
    } catch (error) {
      this.ground.dispose();
      throw error;
    }
    openStages.add(this);
  }

  get daemon(): DaemonProcess {
    assert.ok(this.#daemon, 'the daemon was started');
    return this.#daemon;
  }

  /**
   * The stage itself, once host and daemon have negotiated, or the daemon has registered; closed
   * when that fails.
   */
  async opened(): Promise<this> {
    try {
      await this.startDaemon();
      return this;
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  /**
   * Starts the daemon, or another one after the last has ended. Resolves when host and guest agree.
   */
  async startDaemon(): Promise<void> {
    const { protocol, settings = () => ({}), place, onLog } = this.#options;
    const { ground, host } = this;
    const ready = host.nextReady();
    const program = path.join(binFolder(), `vmic-${protocol.name}`);
    const set = Object.entries(settings(ground)).flatMap(([key, value]) => [
      '--set',
      `${protocol.name}.${key}=${value}`,
    ]);
    const command = [
      process.execPath,
      program,
      '--config',
      ground.configFile,
      '--transport',
      host.transport,
      ...set,
    ];
    this.#spawning = DaemonProcess.start({
      ground,
      transport: host.transport,
      command: place?.enter(command) ?? command,
      ...(onLog ? { onLog } : {}),
    });
    this.#daemon = await this.#spawning;
    this.agreed = await this.alive(within(READY_SECS, 'the daemon did not become ready', ready));
  }

  /** The work's result; fails when the daemon ends meanwhile, or nothing does. */
  async alive<T>(work: Promise<T>): Promise<T> {
    const { daemon } = this;
    work.catch(() => {});
    const died = daemon.exited.then((exit): never => {
      throw new Error(`the daemon ended (${describeExit(exit)}); it said:\n${daemon.transcript()}`);
    });
    died.catch(() => {});
    return Promise.race([within(STEP_SECS, 'nothing happened', work), died]);
  }

  request(request: Request): Promise<Reply> {
    return this.alive(this.host.request(request));
  }

  async close(): Promise<Exit | undefined> {
    openStages.delete(this);
    // Also one that is only just being started
    const daemon = await this.#spawning?.catch(() => undefined);
    const exit = await daemon?.stop();
    this.host.close();
    this.ground.dispose();
    return exit;
  }

  /** What can be done in an instant, when the process ends unexpectedly. */
  abandon(): void {
    this.#daemon?.signal('SIGKILL');
    this.ground.dispose();
  }
}
