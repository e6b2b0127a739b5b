import fs from 'node:fs';
import path from 'node:path';
import { readServiceStatus, type ServiceStatus, statusFile } from '../../daemons/runtime/status.ts';
import { native } from '../../native/index.ts';
import { binFolder, Ground } from '../host/daemon.ts';
import { KvpHost, type KvpHostOptions } from '../host/kvp-host.ts';
import type { Wire } from '../host/wire.ts';
import { Holder } from './holder.ts';

export interface OnDemandOptions extends Partial<Omit<KvpHostOptions, 'native' | 'socketPath'>> {
  readonly wire: Wire;
  /** What `buildHolder` gave. */
  readonly holder: string;
  readonly idleExitMs: number;
  readonly args?: readonly string[];
  /** Instead of this process's Node.js. */
  readonly node?: string;
}

/** A simulated host, the stand-in for systemd, and bin/vmic-kvp as its service. */
export class OnDemandStage {
  readonly ground = new Ground();
  readonly host: KvpHost;
  readonly holder: Holder;
  readonly runtimeFolder = path.join(this.ground.folder, 'run');

  constructor({ wire, holder, idleExitMs, args = [], node = process.execPath, ...options }: OnDemandOptions) {
    const { socketPath, configFile, poolFolder } = this.ground;
    this.host = new KvpHost(wire, { ...options, native, socketPath });
    const { JOURNAL_STREAM: _j, NOTIFY_SOCKET: _n, NODE_OPTIONS: _o, ...env } = process.env;
    this.holder = new Holder({
      program: holder,
      wire,
      socketPath,
      command: [
        node,
        path.join(binFolder(), 'vmic-kvp'),
        ...['--config', configFile, '--transport', `${wire}:${socketPath}`],
        ...['--set', `kvp.pool_directory=${poolFolder}`, '--set', `kvp.idle_exit_ms=${idleExitMs}`],
        ...args,
      ],
      env: { ...env, RUNTIME_DIRECTORY: this.runtimeFolder },
    });
  }

  get statusFile(): string {
    return statusFile(this.runtimeFolder, 'kvp');
  }

  status(): ServiceStatus {
    return readServiceStatus(this.statusFile, 'kvp')!;
  }

  async close(): Promise<void> {
    await this.holder.stop();
    this.host.close();
    this.ground.dispose();
    fs.rmSync(this.runtimeFolder, { recursive: true, force: true });
  }
}
