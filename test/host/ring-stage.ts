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

/** A simulated host and the real daemon of one service, over a ring: services that hv_utils has no char device for. */
export class RingStage<Request, Reply extends { readonly status: number }> {
  readonly ground: Ground;
  readonly host: RingHost<Request, Reply>;
  readonly daemon: DaemonProcess;
  readonly agreed: string;

  private constructor(ground: Ground, host: RingHost<Request, Reply>, daemon: DaemonProcess, agreed: string) {
    this.ground = ground;
    this.host = host;
    this.daemon = daemon;
    this.agreed = agreed;
  }

  /** Resolves when host and daemon have negotiated. */
  static async open<Request, Reply extends { readonly status: number }>(
    options: RingStageOptions<Request, Reply>,
  ): Promise<RingStage<Request, Reply>> {
    const { protocol, settings = () => ({}), onLog } = options;
    const ground = new Ground();
    let host: RingHost<Request, Reply> | undefined;
    let daemon: DaemonProcess | undefined;
    try {
      host = new RingHost({ ...options, socketPath: ground.socketPath });
      const ready = host.nextReady();
      const program = path.join(binFolder(), `vmic-${protocol.name}`);
      const set = Object.entries(settings(ground)).flatMap(([key, value]) => [
        '--set',
        `${protocol.name}.${key}=${value}`,
      ]);
      daemon = await DaemonProcess.start({
        ground,
        transport: host.transport,
        command: [process.execPath, program, '--config', ground.configFile, '--transport', host.transport, ...set],
        ...(onLog ? { onLog } : {}),
      });
      const agreed = await alive(daemon, within(READY_SECS, 'the daemon did not become ready', ready));
      return new RingStage(ground, host, daemon, agreed);
    } catch (error) {
      await daemon?.stop();
      host?.close();
      ground.dispose();
      throw error;
    }
  }

  /** The work's result; fails when the daemon ends meanwhile, or nothing does. */
  alive<T>(work: Promise<T>): Promise<T> {
    return alive(this.daemon, within(STEP_SECS, 'nothing happened', work));
  }

  request(request: Request): Promise<Reply> {
    return this.alive(this.host.request(request));
  }

  async close(): Promise<Exit> {
    const exit = await this.daemon.stop();
    this.host.close();
    this.ground.dispose();
    return exit;
  }
}

async function alive<T>(daemon: DaemonProcess, work: Promise<T>): Promise<T> {
  work.catch(() => {});
  const died = daemon.exited.then((exit): never => {
    throw new Error(`the daemon ended (${describeExit(exit)}); it said:\n${daemon.transcript()}`);
  });
  died.catch(() => {});
  return Promise.race([work, died]);
}
