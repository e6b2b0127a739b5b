import { shutdownProtocol } from '../../protocol/shutdown/vmbus.ts';
import { runProgram } from '../../runtime/program.ts';
import type { ServiceContext } from '../../runtime/service.ts';
import { daemon, type shutdownOptions } from './options.ts';
import { ShutdownService } from './service.ts';
import { LinuxShutdown } from './system.ts';

function create({
  options: own,
  log,
  hostLog,
}: ServiceContext<typeof shutdownOptions>): ShutdownService {
  const ports = new LinuxShutdown(
    { hooksDirectory: own.hooks_directory, announces: own.announce, rehearses: own.rehearse },
    hostLog,
  );
  const policy = {
    refuse: own.refuse,
    respectsInhibitors: own.inhibitors === 'respect',
    hookShare: own.hook_share_percent / 100,
    defaultTimeoutSecs: own.default_timeout_secs,
    leastTimeoutSecs: own.least_timeout_secs,
    forcesAtDeadline: own.force_at_deadline,
  };
  return new ShutdownService({ ports, policy, log, hostLog });
}

void runProgram({
  ...daemon,
  protocol: shutdownProtocol,
  create,
});
