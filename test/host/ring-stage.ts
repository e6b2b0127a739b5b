import assert from 'node:assert/strict';
import path from 'node:path';
import type { Native } from '../../native/interface.ts';
import type { ServiceProtocol } from '../../protocol/service-protocol.ts';
import { binFolder, DaemonProcess, type Exit, Ground, type LogLine } from './daemon.ts';
import { RingHost, type VersionsOffered } from './ring-host.ts';
import { describeExit, within } from './stage.ts';
import type { ServiceView, WireTap } from './wire.ts';

export interface RingStageOptions<Request, Reply extends { readonly status: number }> {
  readonly native: Native;
  readonly protocol: ServiceProtocol<Request, Reply>;
  readonly view: ServiceView<Request, Reply>;
  /** Keys of the service's section in the configuration; by a function where they name places in the stage's folder. */
  readonly settings?: (ground: Ground) => Readonly<Record<string, string | number | boolean>>;
  readonly offer?: VersionsOffered;
  readonly tap?: WireTap;
  readonly onLog?: (line: LogLine) => void;
}

const READY_SECS = 30;
const STEP_SECS = 60;

/** All that are open, so that whoever is interrupted leaves nothing behind. */
export const openStages: Set<{ close(): Promise<unknown>; abandon(): void }> = new Set();

/** A simulated host and the real daemon of one service, over a ring: services that hv_utils has no char device for. */
export class RingStage<Request, Reply extends { readonly status: number }> {
  readonly ground: Ground;
  readonly host: RingHost<Request, Reply>;
  /** What host and guest agreed on. */
  agreed = '';
  readonly #options: RingStageOptions<Request, Reply>;
  #daemon: DaemonProcess | undefined;
  #spawning: Promise<DaemonProcess> | undefined;

  private constructor(options: RingStageOptions<Request, Reply>) {
    this.#options = options;
    this.ground = new Ground();
    try {
      this.host = new RingHost({ ...options, socketPath: this.ground.socketPath });
    } catch (error) {
      this.ground.dispose();
      throw error;
    }
    openStages.add(this);
  }

  /** Resolves when host and daemon have negotiated. */
  static async open<Request, Reply extends { readonly status: number }>(
    options: RingStageOptions<Request, Reply>,
  ): Promise<RingStage<Request, Reply>> {
    const stage = new RingStage(options);
    try {
      await stage.#start();
      return stage;
    } catch (error) {
      await stage.close();
      throw error;
    }
  }

  get daemon(): DaemonProcess {
    assert.ok(this.#daemon, 'the daemon was started');
    return this.#daemon;
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

  async #start(): Promise<void> {
    const { protocol, settings = () => ({}), onLog } = this.#options;
    const { ground, host } = this;
    const ready = host.nextReady();
    const program = path.join(binFolder(), `vmic-${protocol.name}`);
    const set = Object.entries(settings(ground)).flatMap(([key, value]) => [
      '--set',
      `${protocol.name}.${key}=${value}`,
    ]);
    this.#spawning = DaemonProcess.start({
      ground,
      transport: host.transport,
      command: [process.execPath, program, '--config', ground.configFile, '--transport', host.transport, ...set],
      ...(onLog ? { onLog } : {}),
    });
    this.#daemon = await this.#spawning;
    this.agreed = await this.alive(within(READY_SECS, 'the daemon did not become ready', ready));
  }
}
