import type { OptionTable } from '../../runtime/config.ts';
import type { DaemonDeclaration } from '../../runtime/options.ts';
import { MODES } from './discipline.ts';
import { DEFAULT_STATUS_FILE } from './status.ts';

const MAX_SIMULATED_ERROR_MS = 86_400_000;

/** Section [timesync] of the configuration. */
export const timesyncOptions = {
  mode: {
    type: 'choice',
    default: 'auto',
    choices: ['auto', ...MODES],
    example: 'observe',
    help:
      "What the daemon does with the host's time. `discipline`: it keeps the clock right by it. " +
      '`chrony`: it gives the samples to chronyd(8). `observe`: it leaves the clock to another ' +
      'program. `auto`: it chooses by the programs that run.',
  },
  chrony_socket: {
    type: 'path',
    default: '/run/chrony.vmic.sock',
    help:
      'The daemon sends samples to this socket. A line `refclock SOCK` in the configuration of ' +
      'chronyd(8) names the same one.',
  },
  reference_counter: {
    type: 'path',
    default: '/dev/cpu/0/msr',
    mayBeEmpty: true,
    help:
      "The daemon reads the partition's reference counter from this device. Empty: it compares " +
      'samples with each other instead.',
  },
  status_file: {
    type: 'path',
    default: DEFAULT_STATUS_FILE,
    help: 'The daemon writes to this file what `vmic timesync status` reads.',
  },
  clock: {
    type: 'choice',
    default: 'system',
    choices: ['system', 'simulated'],
    help:
      '`system`: the clock of the guest. `simulated`: a clock inside the process, for trying ' +
      "out; the guest's clock is left alone.",
  },
  simulated_error_ms: {
    type: 'integer',
    default: 0,
    min: -MAX_SIMULATED_ERROR_MS,
    max: MAX_SIMULATED_ERROR_MS,
    unit: 'milliseconds',
    help: 'A simulated clock is wrong by this much at the start.',
  },
  simulated_speed: {
    type: 'integer',
    default: 1,
    min: 1,
    max: 1000,
    help: 'A simulated clock counts this many seconds in one second.',
  },
} as const satisfies OptionTable;

export const daemon = {
  name: 'vmic-timesync',
  summary: 'Keeps the clock of a Linux guest right by the time of its Hyper-V host.',
  section: 'timesync',
  options: timesyncOptions,
  defaultTransport: 'uio:',
} as const satisfies DaemonDeclaration;
