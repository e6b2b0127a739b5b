import type { CurrentLife } from './life.ts';
import type { Log } from './log.ts';
import type { Notifier } from './notify.ts';
import type { Stop } from './stop.ts';

/** Listens to signals: those that stop the daemon, and SIGUSR1, which has it log its state. */
export function listenToSignals({
  stop,
  life,
  notifier,
  log,
}: {
  readonly stop: Stop;
  readonly life: CurrentLife;
  readonly notifier: Notifier;
  readonly log: Log;
}): void {
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
    process.on(signal, () => {
      if (stop.isRequested) return;
      notifier.stopping();
      log.notice('Stopping', { signal });
      stop.request();
    });
  }
  // Node's own answer to this signal would be to open a debugger port
  process.on('SIGUSR1', () => {
    const { session } = life;
    log.notice('State', {
      ...session?.counters(),
      open: session !== undefined,
      rssBytes: process.memoryUsage.rss(),
    });
  });
}
