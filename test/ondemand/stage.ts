import path from 'node:path';
import { readServiceStatus, type ServiceStatus, statusFile } from '../../daemons/runtime/status.ts';
import { native } from '../../native/index.ts';
import type { ServiceProtocol } from '../../protocol/service-protocol.ts';
import type { ServiceName } from '../../protocol/services/classes.ts';
import { binFolder, Ground } from '../host/daemon.ts';
import { KvpHost, type KvpHostOptions } from '../host/kvp-host.ts';
import { RingHost } from '../host/ring-host.ts';
import { UtilsHost } from '../host/utils-host.ts';
import type { ServiceHost, ServiceView, Wire } from '../host/wire.ts';
import { Holder } from './holder.ts';

export interface HeldOptions {
  readonly wire: Wire;
  /** What `buildHolder` gave. */
  readonly holder: string;
  readonly idleExitMs: number;
  /** Instead of this process's Node.js. */
  readonly node?: string;
}

interface Scenery<Host> {
  readonly service: ServiceName;
  readonly makeHost: (socketPath: string) => Host;
  /** Keys of the service's section in the configuration. */
  readonly settings: (ground: Ground) => Readonly<Record<string, string | number>>;
  /** Where the stage's folder is. */
  readonly parent?: string;
}

/** A simulated host, the stand-in for systemd, and a built daemon as its service. */
export class HeldStage<Host extends { close(): void }> {
  readonly ground: Ground;
  readonly host: Host;
  readonly holder: Holder;
  readonly #service: ServiceName;

  constructor(
    { wire, holder, idleExitMs, node = process.execPath }: HeldOptions,
    { service, makeHost, settings, parent }: Scenery<Host>,
    args: readonly string[] = [],
  ) {
    this.#service = service;
    this.ground = new Ground(parent);
    const { socketPath, configFile } = this.ground;
    this.host = makeHost(socketPath);
    const { JOURNAL_STREAM: _j, NOTIFY_SOCKET: _n, NODE_OPTIONS: _o, ...env } = process.env;
    const keys = { ...settings(this.ground), idle_exit_ms: idleExitMs };
    this.holder = new Holder({
      program: holder,
      wire,
      socketPath,
      command: [
        node,
        path.join(binFolder(), `vmic-${service}`),
        ...['--config', configFile, '--transport', `${wire}:${socketPath}`],
        ...Object.entries(keys).flatMap(([key, value]) => ['--set', `${service}.${key}=${value}`]),
        ...args,
      ],
      env: { ...env, RUNTIME_DIRECTORY: this.runtimeFolder },
    });
  }

  get runtimeFolder(): string {
    return path.join(this.ground.folder, 'run');
  }

  get statusFile(): string {
    return statusFile(this.runtimeFolder, this.#service);
  }

  status(): ServiceStatus {
    return readServiceStatus(this.statusFile, this.#service)!;
  }

  async close(): Promise<void> {
    await this.holder.stop();
    this.host.close();
    this.ground.dispose();
  }
}

export interface OnDemandOptions extends HeldOptions, Partial<Omit<KvpHostOptions, 'native' | 'socketPath'>> {
  readonly args?: readonly string[];
}

/** With bin/vmic-kvp. */
export class OnDemandStage extends HeldStage<KvpHost> {
  constructor(options: OnDemandOptions) {
    const { wire, holder, idleExitMs, node, args, ...hostOptions } = options;
    super(
      options,
      {
        service: 'kvp',
        makeHost: (socketPath) => new KvpHost(wire, { ...hostOptions, native, socketPath }),
        settings: ({ poolFolder }) => ({ pool_directory: poolFolder }),
      },
      args,
    );
  }
}

/** The host's end of a service, over either wire. */
export function hostOf<Request, Reply extends { readonly status: number }>(
  wire: Wire,
  options: {
    readonly protocol: ServiceProtocol<Request, Reply>;
    readonly view: ServiceView<Request, Reply>;
    readonly versionText: string;
    readonly socketPath: string;
    readonly ringBytes?: number;
  },
): ServiceHost<Request, Reply> {
  return wire === 'unix' ? new UtilsHost({ ...options, native }) : new RingHost({ ...options, native });
}
