import type { Native } from '../native/interface.ts';

/** sd_notify(3) for one process; everything is a no-op without $NOTIFY_SOCKET. */
export interface Notifier {
  ready(status: string): void;
  status(text: string): void;
  stopping(): void;
  close(): void;
}

/**
 * @param healthy asked before each watchdog ping: a process whose loop turns, but which sits on a
 * request, must not look alive.
 */
export function createNotifier(
  native: Native,
  env: NodeJS.ProcessEnv,
  healthy: () => boolean,
): Notifier {
  const socket = env['NOTIFY_SOCKET'];
  const watchdogUsec =
    env['WATCHDOG_PID'] === undefined || Number(env['WATCHDOG_PID']) === process.pid
      ? Number(env['WATCHDOG_USEC'])
      : 0;
  // Children must not speak for us (sd_notify(3), unset_environment)
  delete env['NOTIFY_SOCKET'];
  delete env['WATCHDOG_USEC'];
  delete env['WATCHDOG_PID'];
  let said = '';
  const send = (state: string): void => {
    if (socket === undefined || state === said) return;
    try {
      native.notify(socket, state);
      if (state !== 'WATCHDOG=1') said = state;
    } catch {
      // systemd is restarting, or the path is wrong: the service matters more
    }
  };
  // Half the limit, as sd_watchdog_enabled(3) advises
  const timer =
    socket !== undefined && watchdogUsec > 0
      ? setInterval(() => healthy() && send('WATCHDOG=1'), Math.max(1, watchdogUsec / 2000))
      : undefined;
  timer?.unref();
  return {
    ready: (status) => send(`READY=1\nSTATUS=${oneLine(status)}`),
    status: (text) => send(`STATUS=${oneLine(text)}`),
    stopping: () => send('STOPPING=1'),
    close: () => clearInterval(timer),
  };
}

const oneLine = (text: string): string => text.replaceAll('\n', ' ');
