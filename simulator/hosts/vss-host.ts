import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { Native } from '../../native/interface.ts';
import { IcStatus } from '../../protocol/ic/status.ts';
import type { VssReply, VssRequest } from '../../protocol/vss/types.ts';
import { vssProtocol } from '../../protocol/vss/vmbus.ts';
import type { Ground } from '../stages/daemon.ts';
import { ServiceStage, type ServiceStageOptions } from '../stages/service-stage.ts';
import type { ServiceView, Wire } from '../wire.ts';
import { HvUtilsHost } from './hvutils-host.ts';
import { formatStatus } from './kvp-host.ts';
import { type VersionsOffered, VmbusHost } from './vmbus-host.ts';

/**
 * Disks of a virtual machine as its host lists them in a freeze: their places on the virtual
 * controller, which mean nothing to the guest.
 */
const DISKS = {
  flags: 0,
  lunCount: 2,
  luns: Uint8Array.from({ length: 260 * 24 }, (_, i) => (i < 48 ? 1 + (i % 24) : 0)),
};

/** What a host asks in the course of a backup. */
export const Ask = {
  checkHotBackup: { operation: 'checkHotBackup', flags: 0 },
  getDmInfo: { operation: 'getDmInfo', flags: 0 },
  freeze: { operation: 'freeze', backupType: 0, disks: DISKS },
  thaw: { operation: 'thaw', flags: 0 },
  backupComplete: { operation: 'backupComplete', flags: 0 },
  autoRecover: {
    operation: 'autoRecover',
    backupType: 0,
    disks: { ...DISKS, luns: new Uint8Array(2 * 260 * 24) },
  },
} as const satisfies Record<string, VssRequest>;

/** What hv_utils passes on; it answers all else by itself. */
const PASSED_ON: readonly VssRequest['operation'][] = ['checkHotBackup', 'freeze', 'thaw'];

export const vssView: ServiceView<VssRequest, VssReply> = {
  summarize: (request, reply) => ({
    operation:
      request.operation === 'unknown'
        ? `op. ${request.operationCode}`
        : (SHORT[request.operation] ?? request.operation),
    ...(reply?.flags === undefined ? {} : { subject: `flags ${reply.flags}` }),
  }),
  // Not supported by any guest
  probe: (serial) => ({ operation: 'unknown', operationCode: 127, flags: serial }),
};
/** For lines of 80 columns. */
const SHORT: Partial<Record<VssRequest['operation'], string>> = {
  checkHotBackup: 'hot backup',
  getDmInfo: 'dm info',
  backupComplete: 'complete',
  autoRecover: 'recover',
  queryClusterInfo: 'cluster',
};

/**
 * Where a daemon pretends: its configuration names a file system that is none, so nothing of this
 * machine is ever frozen. All else is real; the guard wants its record on a tmpfs.
 */
export const PRETENCE: NonNullable<ServiceStageOptions<VssRequest, VssReply>['place']> = {
  enter: (command) => command,
  shared: fs.existsSync('/dev/shm') ? '/dev/shm' : os.tmpdir(),
};

/** Everything of the stage's own; what is `pretended` has no file system either. */
export const vssSettings = (
  { folder }: Ground,
  pretended: boolean,
): Readonly<Record<string, string>> => ({
  hooks_directories: path.join(folder, 'vss.d'),
  status_file: path.join(folder, 'status.json'),
  record_file: path.join(folder, 'record'),
  ...(pretended ? { include: path.join(folder, 'pretended') } : {}),
});

export interface VssStageOptions
  extends Omit<ServiceStageOptions<VssRequest, VssReply>, 'protocol' | 'view'> {
  readonly native: Native;
  readonly offer?: VersionsOffered;
}

type Utils = HvUtilsHost<VssRequest, VssReply>;
type Ring = VmbusHost<VssRequest, VssReply>;

/** A simulated host and the real VSS daemon, over either wire. */
export class VssStage extends ServiceStage<VssRequest, VssReply, Utils | Ring> {
  static open(wire: Wire, given: VssStageOptions): Promise<VssStage> {
    const options = { ...given, protocol: vssProtocol, view: vssView };
    const host = (socketPath: string): Utils | Ring =>
      wire === 'unix'
        ? new HvUtilsHost({ ...options, socketPath, versionText: '129' })
        : new VmbusHost({ ...options, socketPath });
    return new VssStage(options, host).opened();
  }

  /** Over the char device: what hv_utils does not pass on it answers with success. */
  async ask(request: VssRequest): Promise<VssReply> {
    if (this.host.wire === 'unix' && !PASSED_ON.includes(request.operation))
      return { status: IcStatus.ok };
    return this.request(request);
  }

  get utils(): Utils {
    if (!(this.host instanceof HvUtilsHost)) throw new Error('this needs the char device');
    return this.host;
  }

  get ring(): Ring {
    if (!(this.host instanceof VmbusHost)) throw new Error('this needs the ring');
    return this.host;
  }
}

/** Fails when the guest did not answer with success. */
export function succeeded(what: string, { status }: VssReply): void {
  if (status !== IcStatus.ok)
    throw new Error(`${what}: the guest answered "${formatStatus(status)}"`);
}
