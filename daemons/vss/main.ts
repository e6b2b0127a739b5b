import { formatVersion, type Version } from '../../protocol/ic/version.ts';
import { vssProtocol } from '../../protocol/vss/vmbus.ts';
import { runProgram } from '../../runtime/program.ts';
import type { ServiceContext } from '../../runtime/service.ts';
import { isAlive } from '../../runtime/status/status-file.ts';
import { Freezer } from './freeze/freezer.ts';
import { guards } from './freeze/guard.ts';
import type { VssStatus } from './freeze/status.ts';
import { LinuxFreezer, policyOf, type VssOptions } from './freeze/system.ts';
import { daemon, type vssOptions } from './options.ts';
import { VssService } from './service.ts';

const offered = ({ offer_versions: names }: VssOptions): readonly Version[] =>
  vssProtocol.optionalVersions.filter((version) => names.includes(formatVersion(version)));

function create({ options, log, hostLog, logHold }: ServiceContext<typeof vssOptions>): VssService {
  const ports = new LinuxFreezer(options, guards);
  const freezer = new Freezer({ ports, policy: policyOf(options), log, logHold, by: 'host' });
  let left: VssStatus['current'];
  let last: VssStatus['freezes'][number] | undefined;
  try {
    ports.changeStatus((status) => {
      left = status.current;
      last = status.freezes[0];
      return { ...status, daemon: ports.self };
    });
  } catch (error) {
    log.error("The status can't be written", { error });
  }
  // Unless a command is at it
  if (left === undefined || !isAlive(left.process)) void freezer.recover(left, last);
  return new VssService(freezer, hostLog);
}

void runProgram({
  ...daemon,
  protocol: vssProtocol,
  // As long as hv_utils awaits the answer to a freeze
  longestRequestSecs: 15 * 60,
  extraVersions: offered,
  create,
});
