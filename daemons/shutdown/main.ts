import { shutdownProtocol } from '../../protocol/shutdown/vmbus.ts';
import { ConfigError } from '../../runtime/config.ts';
import { runProgram } from '../../runtime/program.ts';
import type { ServiceContext } from '../../runtime/service.ts';
import { ACTIONS, type Action } from './ports.ts';
import { ShutdownService } from './service.ts';
import { LinuxShutdown } from './system.ts';

const options = {
  refuse: {
    type: 'strings',
    default: [],
    help: `requests that are refused, of ${ACTIONS.join(', ')}`,
  },
  inhibitors: {
    type: 'choice',
    default: 'respect',
    choices: ['respect', 'ignore'],
    help:
      'what programs that block a shutdown count for (systemd-inhibit), unless the host forces ' +
      'it',
  },
  hooks_directory: {
    type: 'string',
    default: '/etc/vmic/shutdown.d',
    help: 'folder of executables that are run before the system goes down',
    check: (value: string) => (value.startsWith('/') ? undefined : 'an absolute path'),
  },
  hook_share_percent: {
    type: 'integer',
    default: 50,
    min: 0,
    max: 90,
    help: "the part of the host's time that hooks get together",
  },
  default_timeout_secs: {
    type: 'integer',
    default: 120,
    min: 1,
    max: 3600,
    help: 'for a host that gives no time',
  },
  least_timeout_secs: {
    type: 'integer',
    default: 30,
    min: 1,
    max: 3600,
    help: 'for a host that gives less time than this',
  },
  force_at_deadline: {
    type: 'boolean',
    default: true,
    help: "force a system that has not gone down by the host's deadline",
  },
  announce: { type: 'boolean', default: true, help: 'tell everybody who is logged in' },
  rehearse: {
    type: 'boolean',
    default: false,
    help: 'do everything but the last command, which is logged instead',
  },
} as const;

const isAction = (name: string): name is Action => (ACTIONS as readonly string[]).includes(name);

function create({ options: own, log, hostLog }: ServiceContext<typeof options>): ShutdownService {
  const refuse = own.refuse.map((name) => {
    if (isAction(name)) return name;
    throw new ConfigError(`shutdown.refuse: "${name}" is none of ${ACTIONS.join(', ')}`);
  });
  const ports = new LinuxShutdown(
    { hooksDirectory: own.hooks_directory, announces: own.announce, rehearses: own.rehearse },
    hostLog,
  );
  const policy = {
    refuse,
    respectsInhibitors: own.inhibitors === 'respect',
    hookShare: own.hook_share_percent / 100,
    defaultTimeoutSecs: own.default_timeout_secs,
    leastTimeoutSecs: own.least_timeout_secs,
    forcesAtDeadline: own.force_at_deadline,
  };
  return new ShutdownService({ ports, policy, log, hostLog });
}

void runProgram({
  name: 'vmic-shutdown',
  summary: 'Shuts a Linux guest down when its Hyper-V host asks for it.',
  protocol: shutdownProtocol,
  section: 'shutdown',
  options,
  defaultTransport: 'uio:',
  create,
});
