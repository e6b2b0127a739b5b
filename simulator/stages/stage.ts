import assert from 'node:assert/strict';
import type { Native } from '../../native/interface.ts';
import { type Behaviour, type BehaviourContext, mustServe } from '../behaviours/behaviour.ts';
import { KvpHost, type KvpHostOptions } from '../hosts/kvp-host.ts';
import type { Wire } from '../wire.ts';
import { DaemonProcess, type Exit, Ground, type LogLine } from './daemon.ts';

export interface StageOptions extends Partial<Omit<KvpHostOptions, 'native' | 'socketPath'>> {
  readonly native: Native;
  readonly onLog?: (line: LogLine) => void;
  /** Further arguments, or a whole other command, for the daemon. */
  readonly daemonArgs?: readonly string[];
  readonly daemonCommand?: (ground: Ground, transport: string) => readonly string[];
}

/** A daemon that is not ready by then never will be. */
const READY_SECS = 120;
const BEHAVIOUR_SECS = 300;

/** A simulated host and a real daemon on it, in a temporary folder of their own. */
export class Stage {
  readonly wire: Wire;
  readonly ground: Ground;
  readonly host: KvpHost;
  /** What host and guest agreed on. */
  agreed = '';
  readonly #options: StageOptions;
  #daemon: DaemonProcess | undefined;
  #spawning: Promise<DaemonProcess> | undefined;

  private constructor(wire: Wire, options: StageOptions) {
    this.wire = wire;
    this.#options = options;
    this.ground = new Ground();
    try {
      this.host = new KvpHost(wire, { ...options, socketPath: this.ground.socketPath });
    } catch (error) {
      this.ground.dispose();
      throw error;
    }
  }

  /** A host without a daemon yet. */
  static prepare(wire: Wire, options: StageOptions): Stage {
    return new Stage(wire, options);
  }

  /** Resolves when the daemon is registered, or has negotiated. */
  static async open(wire: Wire, options: StageOptions): Promise<Stage> {
    const stage = Stage.prepare(wire, options);
    try {
      await stage.startDaemon();
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

  /** Resolves when it is registered, or has negotiated. */
  async startDaemon(): Promise<void> {
    const { onLog, daemonArgs, daemonCommand } = this.#options;
    const { transport } = this.host.link;
    const ready = this.host.link.nextReady();
    this.#spawning = DaemonProcess.start({
      ground: this.ground,
      transport,
      ...(daemonCommand ? { command: daemonCommand(this.ground, transport) } : {}),
      ...(daemonArgs ? { args: daemonArgs } : {}),
      ...(onLog ? { onLog } : {}),
    });
    this.#daemon = await this.#spawning;
    this.agreed = await this.alive(within(READY_SECS, 'the daemon did not become ready', ready));
  }

  /** The work's result; fails at once when the daemon ends meanwhile. */
  async alive<T>(work: Promise<T>): Promise<T> {
    const { daemon } = this;
    work.catch(() => {});
    const died = daemon.exited.then((exit): never => {
      throw new Error(`the daemon ended (${describeExit(exit)}); it said:\n${daemon.transcript()}`);
    });
    died.catch(() => {});
    return Promise.race([work, died]);
  }

  /**
   * Plays one behaviour and checks what it leaves: a daemon that serves, or one that ended with its
   * reason.
   */
  async play(behaviour: Behaviour, scene: Omit<BehaviourContext, 'host'>): Promise<void> {
    await this.alive(within(READY_SECS, 'no guest is ready', this.host.link.ready()));
    const run = behaviour.run({ ...scene, host: this.host });
    const limit = `behaviour ${behaviour.name} did not end`;
    if (behaviour.leaves === 'serving') {
      await this.alive(within(BEHAVIOUR_SECS, limit, run));
      await this.alive(within(BEHAVIOUR_SECS, 'the guest no longer serves', mustServe(this.host)));
      return;
    }
    await within(BEHAVIOUR_SECS, limit, run);
    const exit = await within(BEHAVIOUR_SECS, 'the daemon did not end', this.daemon.exited);
    assert.equal(exit.signal, null, `the daemon was ended by ${exit.signal}`);
    assert.notEqual(
      exit.code,
      0,
      'a daemon whose ring is corrupt has to fail, to be started afresh',
    );
    const reason = this.daemon.logs.find((line) => line.level === 'critical');
    assert.ok(reason, `the daemon did not say why it ended:\n${this.daemon.transcript()}`);
    scene.say(`the daemon ended with ${exit.code}: ${reason.message} (${reason['error']})`);
  }

  /** Stops the daemon and removes everything; gives how it ended. May be called twice. */
  async close(): Promise<Exit | undefined> {
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

export const describeExit = (exit: Exit): string =>
  exit.signal ? `by ${exit.signal}` : `with status ${exit.code}`;

export async function within<T>(secs: number, what: string, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} within ${secs} s`)), secs * 1000);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
