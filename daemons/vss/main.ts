import { formatVersion, type Version } from '../../protocol/ic/version.ts';
import { vssProtocol } from '../../protocol/vss/vmbus.ts';
import { ConfigError } from '../../runtime/config.ts';
import { runProgram } from '../../runtime/program.ts';
import type { ServiceContext } from '../../runtime/service.ts';
import { isAlive } from '../../runtime/status/status-file.ts';
import { Freezer } from './freeze/freezer.ts';
import { guards } from './freeze/guard.ts';
import { vssOptions } from './freeze/options.ts';
import type { VssStatus } from './freeze/status.ts';
import { LinuxFreezer, policyOf, type VssOptions } from './freeze/system.ts';
import { VssService } from './service.ts';

function offered({ offer_versions: names }: VssOptions): Version[] {
  const known = vssProtocol.optionalVersions;
  const unknown = names.find((name) => !known.some((version) => formatVersion(version) === name));
  if (unknown !== undefined) {
    throw new ConfigError(
      `vss.offer_versions: "${unknown}" is none of ${known.map(formatVersion).join(', ')}`,
    );
  }
  return known.filter((version) => names.includes(formatVersion(version)));
}

function create({ options, log, hostLog, logHold }: ServiceContext<typeof vssOptions>): VssService {
  offered(options);
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
  name: 'vmic-vss',
  summary: 'Freezes the file systems of a Linux guest while its Hyper-V host takes a snapshot.',
  protocol: vssProtocol,
  section: 'vss',
  options: vssOptions,
  defaultTransport: 'chardev:/dev/vmbus/hv_vss',
  // As long as hv_utils awaits the answer to a freeze
  longestRequestSecs: 15 * 60,
  extraVersions: offered,
  create,
});
