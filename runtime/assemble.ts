import type { Native } from '../native/interface.ts';
import { monotonicMs } from './clock.ts';
import type { OptionTable } from './config.ts';
import { Daemon } from './daemon.ts';
import { CurrentLife, tellLife } from './life.ts';
import { limitLog } from './log/limit.ts';
import type { RootLog } from './log.ts';
import { createNotifier } from './notify.ts';
import type { Program } from './service.ts';
import type { Settings } from './settings.ts';
import { listenToSignals } from './signals.ts';
import { runtimeDirectory, StatusPublisher } from './status/status.ts';
import { Stop } from './stop.ts';
import type { Inherited } from './transports/inherited.ts';
import { formatTransport } from './transports/transport.ts';
import { VERSION } from './version.ts';

/**
 * A request that the service works on for longer than this is stuck, unless the program says
 * otherwise. The watchdog is no longer fed then.
 */
const LONGEST_REQUEST_SECS = 60;

export interface Ground<Options extends OptionTable> {
  readonly native: Native;
  readonly log: RootLog;
  readonly settings: Settings<Options>;
  /** The channel that another process keeps between our lives, where there is one. */
  readonly inherited: Inherited | undefined;
}

/** Makes a daemon from its program, with everything it stands on. Throws ConfigError. */
export function assemble<
  Request,
  Reply extends { readonly status: number },
  Options extends OptionTable,
>(
  program: Program<Request, Reply, Options>,
  { native, log, settings, inherited }: Ground<Options>,
): Daemon<Request, Reply> {
  const { protocol } = program;
  const hostLog = limitLog(log);
  const life = new CurrentLife();
  const stop = new Stop();
  const longestMs = (program.longestRequestSecs ?? LONGEST_REQUEST_SECS) * 1000;
  // Before the service, whose children must not find $NOTIFY_SOCKET
  const notifier = createNotifier(native, process.env, () => {
    const since = life.session?.busySinceMs;
    return since === undefined || monotonicMs() - since < longestMs;
  });
  listenToSignals({ stop, life, notifier, log });
  const options = settings.own;
  let status: StatusPublisher | undefined;
  const service = program.create({
    native,
    options,
    log,
    hostLog,
    logHold: log,
    // The last word of a daemon that left was written while its session was there
    publishStatus: () => {
      if (life.now.is !== 'left') status?.write();
    },
    version: VERSION,
  });
  status = new StatusPublisher(runtimeDirectory(process.env), protocol.name, {
    log,
    now: monotonicMs,
    tell: () => {
      const details = service.status?.();
      return {
        ...tellLife(life.now),
        transport: formatTransport(inherited?.transport ?? settings.transport),
        onDemand: inherited !== undefined,
        ...(details === undefined ? {} : { details }),
      };
    },
    isHeld: () => log.isHeld,
    place: program.statusPlace?.(options),
  });
  return new Daemon({
    native,
    log,
    hostLog,
    notifier,
    protocol,
    extraVersions: program.extraVersions?.(options) ?? [],
    service,
    status,
    life,
    stop,
    bind: program.bind?.bind(program),
  });
}
