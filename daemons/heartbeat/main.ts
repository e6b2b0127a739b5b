import { heartbeatProtocol } from '../../protocol/heartbeat/vmbus.ts';
import { runProgram } from '../../runtime/program.ts';
import type { ServiceContext } from '../../runtime/service.ts';
import { daemon, type heartbeatOptions } from './options.ts';
import type { HealthOptions } from './ports.ts';
import { HeartbeatService } from './service.ts';
import { LinuxHealth } from './system.ts';
import { startWatcher } from './watcher.ts';

function create({ options: own, log }: ServiceContext<typeof heartbeatOptions>): HeartbeatService {
  const watched: HealthOptions = {
    units: own.units,
    intervalSecs: own.interval_secs,
    checksDirectory: own.checks_directory,
    checkIntervalSecs: own.check_interval_secs,
    checkTimeoutSecs: own.check_timeout_secs,
  };
  const system = new LinuxHealth(watched);
  const service = new HeartbeatService(own.units.length > 0, log, () => {
    watcher.close();
    system.close();
  });
  const watcher = startWatcher(system, watched, log, (health) => service.update(health));
  return service;
}

void runProgram({
  ...daemon,
  protocol: heartbeatProtocol,
  create,
});
