import type { OptionTable } from '../../runtime/config.ts';
import type { DaemonDeclaration } from '../../runtime/options.ts';

/** systemd.unit(5): the characters of a unit's name. */
const UNIT_NAME = /^[\w:\\@.][\w:\\@.-]{0,254}$/;

/** Section [heartbeat] of the configuration. */
export const heartbeatOptions = {
  units: {
    type: 'strings',
    default: [],
    check: (unit: string) => (UNIT_NAME.test(unit) ? undefined : 'is no name of a unit'),
    example: ['postgresql.service', 'nginx.service'],
    help:
      'The state is critical when one of these systemd units fails. Empty: when any unit of the ' +
      'system fails.',
  },
  interval_secs: {
    type: 'integer',
    default: 5,
    min: 1,
    max: 3600,
    unit: 'seconds',
    help: 'The daemon asks systemd for the state of the system and of the units this often.',
  },
  checks_directory: {
    type: 'path',
    default: '/etc/vmic/health.d',
    help:
      'The daemon runs the executables in this folder as checks; see vmic-hooks(7). The state is ' +
      'critical when one of them fails.',
  },
  check_interval_secs: {
    type: 'integer',
    default: 30,
    min: 1,
    max: 86_400,
    unit: 'seconds',
    help: 'The daemon waits for this time between two rounds of checks.',
  },
  check_timeout_secs: {
    type: 'integer',
    default: 10,
    min: 1,
    max: 3600,
    unit: 'seconds',
    help: 'A check that has not ended after this time has failed.',
  },
} as const satisfies OptionTable;

export const daemon = {
  name: 'vmic-heartbeat',
  summary: 'Answers the Hyper-V heartbeats of a Linux guest, and says how its applications are.',
  section: 'heartbeat',
  options: heartbeatOptions,
  defaultTransport: 'uio:',
} as const satisfies DaemonDeclaration;
