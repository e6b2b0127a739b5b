import { timesyncProtocol } from '../../protocol/timesync/vmbus.ts';
import { monotonicMs } from '../../runtime/clock.ts';
import { runProgram } from '../../runtime/program.ts';
import type { ServiceContext } from '../../runtime/service.ts';
import { type Choice, chooseMode } from './choose.ts';
import { encodeChronySample } from './chrony.ts';
import { daemon, type timesyncOptions } from './options.ts';
import type { TimesyncPorts } from './ports.ts';
import { TimesyncService } from './service.ts';
import { uptimeSecs } from './status.ts';
import { lookAround, MsrCounter, simulatedClock, systemClock } from './system.ts';

function create({
  native,
  options: own,
  log,
  hostLog,
  publishStatus,
}: ServiceContext<typeof timesyncOptions>) {
  const isSimulated = own.clock === 'simulated';
  if (isSimulated) log.warning("The clock is a simulated one; the machine's clock is left alone");
  const clock = isSimulated
    ? simulatedClock(native, own.simulated_error_ms, own.simulated_speed)
    : systemClock(native);
  const counter = new MsrCounter(native, own.reference_counter, process.env, log);
  const choose = (): Choice => {
    if (own.mode !== 'auto') return { mode: own.mode, reason: 'configured' };
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
  ...daemon,
  protocol: timesyncProtocol,
  statusPlace: ({ status_file: file }) => ({ file }),
  create,
});
