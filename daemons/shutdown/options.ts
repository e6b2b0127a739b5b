import type { OptionTable } from '../../runtime/config.ts';
import type { DaemonDeclaration } from '../../runtime/options.ts';
import { ACTIONS } from './ports.ts';

/** Section [shutdown] of the configuration. */
export const shutdownOptions = {
  refuse: {
    type: 'strings',
    default: [],
    choices: ACTIONS,
    example: ['hibernate'],
    help: 'The daemon refuses these requests of the host.',
  },
  inhibitors: {
    type: 'choice',
    default: 'respect',
    choices: ['respect', 'ignore'],
    help:
      'What the daemon does when programs block a shutdown by `systemd-inhibit`. `respect`: it ' +
      'refuses the request unless the host forces it. `ignore`: it shuts down.',
  },
  hooks_directory: {
    type: 'path',
    default: '/etc/vmic/shutdown.d',
    help:
      'The daemon runs the executables in this folder before the system goes down; see ' +
      'vmic-hooks(7).',
  },
  hook_share_percent: {
    type: 'integer',
    default: 50,
    min: 0,
    max: 90,
    unit: 'percent',
    help: 'All hooks together get this part of the time that the host allows.',
  },
  default_timeout_secs: {
    type: 'integer',
    default: 120,
    min: 1,
    max: 3600,
    unit: 'seconds',
    help: 'The daemon assumes this time when the host allows none.',
  },
  least_timeout_secs: {
    type: 'integer',
    default: 30,
    min: 1,
    max: 3600,
    unit: 'seconds',
    help: 'The daemon assumes this time when the host allows less.',
  },
  force_at_deadline: {
    type: 'boolean',
    default: true,
    help: "The daemon forces a system down that is still up at the host's deadline.",
  },
  announce: {
    type: 'boolean',
    default: true,
    help: 'The daemon tells everybody who is logged in.',
  },
  rehearse: {
    type: 'boolean',
    default: false,
    help: 'The daemon does everything but the last command, which it logs instead.',
  },
} as const satisfies OptionTable;

export const daemon = {
  name: 'vmic-shutdown',
  summary: 'Shuts a Linux guest down when its Hyper-V host asks for it.',
  section: 'shutdown',
  options: shutdownOptions,
  defaultTransport: 'uio:',
} as const satisfies DaemonDeclaration;
