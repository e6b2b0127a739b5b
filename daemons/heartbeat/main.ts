import { heartbeatProtocol } from '../../protocol/heartbeat/vmbus.ts';
import { ConfigError } from '../../runtime/config.ts';
import { runProgram } from '../../runtime/program.ts';
import type { ServiceContext } from '../../runtime/service.ts';
import type { HealthOptions } from './ports.ts';
import { HeartbeatService } from './service.ts';
import { LinuxHealth } from './system.ts';
import { startWatcher } from './watcher.ts';

const options = {
  units: {
    type: 'strings',
    default: [],
    help: 'units whose failure makes the state critical; when empty, any failed unit does',
  },
  interval_secs: {
    type: 'integer',
    default: 5,
    min: 1,
    max: 3600,
    help: 'how often systemd is asked for the state of the system and of the units',
  },
  checks_directory: {
    type: 'string',
    default: '/etc/vmic/health.d',
    help: 'folder of executables, each of which makes the state critical by failing',
    check: (value: string) => (value.startsWith('/') ? undefined : 'an absolute path'),
  },
  check_interval_secs: {
    type: 'integer',
    default: 30,
    min: 1,
    max: 86_400,
    help: 'pause between two rounds of checks',
  },
  check_timeout_secs: {
    type: 'integer',
    default: 10,
    min: 1,
    max: 3600,
    help: 'time after which a check has failed',
  },
} as const;

/** systemd.unit(5): the characters of a unit's name. */
const UNIT_NAME = /^[\w:\\@.][\w:\\@.-]{0,254}$/;

function create({ options: own, log }: ServiceContext<typeof options>): HeartbeatService {
  const bad = own.units.find((unit) => !UNIT_NAME.test(unit));
  if (bad !== undefined) throw new ConfigError(`heartbeat.units: "${bad}" is no name of a unit`);
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
  name: 'vmic-heartbeat',
  summary: 'Answers the Hyper-V heartbeats of a Linux guest, and says how its applications are.',
  protocol: heartbeatProtocol,
  section: 'heartbeat',
  options,
  defaultTransport: 'uio:',
  create,
});
