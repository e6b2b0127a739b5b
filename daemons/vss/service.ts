import { IcStatus } from '../../protocol/ic/status.ts';
import { NO_AUTO_RECOVERY, type VssReply, type VssRequest } from '../../protocol/vss/types.ts';
import type { Log } from '../../runtime/log.ts';
import type { Service } from '../../runtime/service.ts';
import type { VssPorts } from './ports.ts';

const OK: VssReply = { status: IcStatus.ok };
const FAIL: VssReply = { status: IcStatus.fail };
const NOT_SUPPORTED: VssReply = { status: IcStatus.notSupported };

/** Answers the host's part of a backup: check, freeze, thaw, complete. */
export class VssService implements Service<VssRequest, VssReply> {
  readonly #ports: VssPorts;
  /** Behind a limit: a host can ask as often as it likes. */
  readonly #hostLog: Log;

  constructor(ports: VssPorts, hostLog: Log) {
    this.#ports = ports;
    this.#hostLog = hostLog;
  }

  /**
   * From the beginning of a freeze until all is cleared up after the thaw: the process must not end
   * by itself then.
   */
  get busy(): boolean {
    return this.#ports.busy;
  }

  handle(request: VssRequest): VssReply | Promise<VssReply> {
    switch (request.operation) {
      case 'checkHotBackup':
        return { status: IcStatus.ok, flags: NO_AUTO_RECOVERY };
      case 'getDmInfo':
        return { status: IcStatus.ok, flags: 0 };
      case 'freeze':
        return this.#freeze();
      case 'thaw':
        return this.#thaw();
      case 'create':
      case 'delete':
      case 'backupComplete':
      case 'autoRecover':
        // A guest without snapshots of its own has nothing to do; hv_utils answers the same
        // (drivers/hv/hv_snapshot.c)
        this.#hostLog.debug('The host tells of its backup', { operation: request.operation });
        return OK;
      case 'queryClusterInfo':
        return NOT_SUPPORTED;
      case 'unknown':
        this.#hostLog.warning('Refused an unknown operation', { operation: request.operationCode });
        return NOT_SUPPORTED;
    }
  }

  connected(): void {}

  disconnected(): void {
    // Whoever would ask for the thaw is gone
    void this.#ports.stop('the channel to the host ended');
  }

  close(): Promise<void> {
    return this.#ports.stop('the service was stopped');
  }

  async #freeze(): Promise<VssReply> {
    const outcome = await this.#ports.freeze();
    if (outcome.ok) return OK;
    this.#hostLog.error('The host was told that the freeze failed', { problem: outcome.problem });
    return FAIL;
  }

  async #thaw(): Promise<VssReply> {
    const outcome = await this.#ports.thaw();
    // A thaw without a freeze is nothing to complain of: hv_utils makes one up before a suspension
    const problem = outcome.was === 'frozen' ? outcome.problem : outcome.early;
    if (problem === undefined) return OK;
    // What the host copied is not what it believes it to be
    this.#hostLog.error('The host was told that its copy may not be consistent', { problem });
    return FAIL;
  }
}
