import path from 'node:path';
import { native } from '../../native/index.ts';
import type { FcopyReply, FcopyRequest } from '../../protocol/fcopy/messages.ts';
import { fcopyProtocol } from '../../protocol/fcopy/vmbus.ts';
import type { ServiceName } from '../../protocol/ic/classes.ts';
import type { ServiceProtocol } from '../../protocol/service-protocol.ts';
import type { VssReply, VssRequest } from '../../protocol/vss/types.ts';
import { vssProtocol } from '../../protocol/vss/vmbus.ts';
import { readServiceStatus, type ServiceStatus, statusFile } from '../../runtime/status/status.ts';
import { fcopyView, RING_BYTES } from '../../simulator/hosts/fcopy-host.ts';
import { HvUtilsHost } from '../../simulator/hosts/hvutils-host.ts';
import { KvpHost, type KvpHostOptions } from '../../simulator/hosts/kvp-host.ts';
import { VmbusHost } from '../../simulator/hosts/vmbus-host.ts';
import { PRETENCE, vssSettings, vssView } from '../../simulator/hosts/vss-host.ts';
import { binFolder, Ground } from '../../simulator/stages/daemon.ts';
import type { ServiceHost, ServiceView, Wire } from '../../simulator/wire.ts';
import { Holder } from './holder.ts';

export interface HeldOptions {
  readonly wire: Wire;
  /** What `buildHolder` gave. */
  readonly holder: string;
  readonly idleExitMs: number;
  /** Instead of this process's Node.js. */
  readonly node?: string;
}

export interface Scenery<Host> {
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

export interface OnDemandOptions
  extends HeldOptions,
    Partial<Omit<KvpHostOptions, 'native' | 'socketPath'>> {
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

type Settings = Readonly<Record<string, string | number>>;

/** With bin/vmic-vss, which pretends: nothing of this machine is frozen. */
export const vssScenery = (
  wire: Wire,
  settings: Settings = {},
): Scenery<ServiceHost<VssRequest, VssReply>> => ({
  service: 'vss',
  makeHost: (socketPath) =>
    hostOf(wire, { protocol: vssProtocol, view: vssView, versionText: '129', socketPath }),
  settings: (ground) => ({ ...vssSettings(ground, true), ...settings }),
  parent: PRETENCE.shared,
});

/** With bin/vmic-fcopy. */
export const fcopyScenery = (
  wire: Wire,
  settings: Settings = {},
): Scenery<ServiceHost<FcopyRequest, FcopyReply>> => ({
  service: 'fcopy',
  makeHost: (socketPath) =>
    hostOf(wire, {
      protocol: fcopyProtocol,
      view: fcopyView,
      versionText: '1',
      socketPath,
      ringBytes: RING_BYTES,
    }),
  settings: ({ folder }) => ({ status_file: path.join(folder, 'fcopy.json'), ...settings }),
});

interface HostOptions<Request, Reply extends { readonly status: number }> {
  readonly protocol: ServiceProtocol<Request, Reply>;
  readonly view: ServiceView<Request, Reply>;
  readonly versionText: string;
  readonly socketPath: string;
  readonly ringBytes?: number;
}

/** The host's end of a service, over either wire. */
const hostOf = <Request, Reply extends { readonly status: number }>(
  wire: Wire,
  options: HostOptions<Request, Reply>,
): ServiceHost<Request, Reply> =>
  wire === 'unix' ? new HvUtilsHost({ ...options, native }) : new VmbusHost({ ...options, native });
