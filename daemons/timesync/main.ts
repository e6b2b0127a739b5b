import { timesyncProtocol } from '../../protocol/timesync/vmbus.ts';
import { monotonicMs } from '../../runtime/log.ts';
import { runProgram } from '../../runtime/program.ts';
import type { ServiceContext } from '../../runtime/service.ts';
import { type Choice, chooseMode } from './choose.ts';
import { encodeChronySample } from './chrony.ts';
import { MODES, type Mode } from './discipline.ts';
import type { TimesyncPorts } from './ports.ts';
import { TimesyncService } from './service.ts';
import { DEFAULT_STATUS_FILE, uptimeSecs } from './status.ts';
import { lookAround, MsrCounter, simulatedClock, systemClock } from './system.ts';

const absolutePath = (value: string): string | undefined =>
  value.startsWith('/') ? undefined : 'an absolute path';
const MAX_SIMULATED_ERROR_MS = 86_400_000;

const options = {
  mode: {
    type: 'choice',
    default: 'auto',
    choices: ['auto', ...MODES],
    help: 'what is done about samples; auto looks at what else disciplines the clock',
  },
  chrony_socket: {
    type: 'string',
    default: '/run/chrony.vmic.sock',
    help: 'socket of a SOCK reference clock of chronyd',
    check: absolutePath,
  },
  reference_counter: {
    type: 'string',
    default: '/dev/cpu/0/msr',
    help: "device for reading the partition's reference counter; empty for none",
    check: (value: string) => (value === '' ? undefined : absolutePath(value)),
  },
  status_file: {
    type: 'string',
    default: DEFAULT_STATUS_FILE,
    help: 'file that vmic timesync status reads',
    check: absolutePath,
  },
  clock: {
    type: 'choice',
    default: 'system',
    choices: ['system', 'simulated'],
    help: "simulated: a clock inside the process, for trying out; the machine's is left alone",
  },
  simulated_error_ms: {
    type: 'integer',
    default: 0,
    min: -MAX_SIMULATED_ERROR_MS,
    max: MAX_SIMULATED_ERROR_MS,
    help: 'what a simulated clock is wrong by at the start',
  },
  simulated_speed: {
    type: 'integer',
    default: 1,
    min: 1,
    max: 1000,
    help: 'how many seconds a simulated clock counts in one',
  },
} as const;

function create({
  native,
  options: own,
  log,
  hostLog,
  publishStatus,
}: ServiceContext<typeof options>) {
  const isSimulated = own.clock === 'simulated';
  if (isSimulated) log.warning("The clock is a simulated one; the machine's clock is left alone");
  const clock = isSimulated
    ? simulatedClock(native, own.simulated_error_ms, own.simulated_speed)
    : systemClock(native);
  const counter = new MsrCounter(native, own.reference_counter, process.env, log);
  const choose = (): Choice => {
    if (own.mode !== 'auto') return { mode: own.mode as Mode, reason: 'configured' };
    if (isSimulated)
      return { mode: 'discipline', reason: 'no other program knows a simulated clock' };
    return chooseMode(lookAround(own.chrony_socket), own.chrony_socket);
  };
  const ports: TimesyncPorts = {
    clock,
    counter,
    choose: () => ({ ...choose(), configured: own.mode !== 'auto' }),
    // What a simulated clock shows is not for a program that sets the real one
    feedChrony: (realtimeNs, offsetNs) => {
      if (isSimulated) return false;
      try {
        return native.sendDatagram(own.chrony_socket, encodeChronySample(realtimeNs, offsetNs));
      } catch (error) {
        hostLog.warning("chronyd can't be given a sample", { error });
        return false;
      }
    },
    publish: () => publishStatus(),
    uptimeSecs,
    defer: (callback) => void setImmediate(callback),
    now: monotonicMs,
    log: hostLog,
    close: () => counter.close(),
  };
  return new TimesyncService(ports);
}

void runProgram({
  name: 'vmic-timesync',
  summary: 'Keeps the clock of a Linux guest right by the time of its Hyper-V host.',
  protocol: timesyncProtocol,
  section: 'timesync',
  options,
  defaultTransport: 'uio:',
  statusPlace: ({ status_file: file }) => ({ file }),
  create,
});
