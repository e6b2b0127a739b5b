import type { Log } from '../../runtime/log.ts';
import { type Health, NOTHING_KNOWN } from './health.ts';
import { watchHealth } from './monitor.ts';
import type { HealthOptions, HealthPorts } from './ports.ts';

/**
 * Without a word for this much longer than it may take, something is stuck: nothing is known any
 * more.
 */
const SILENCE_SECS = 30;
/** Watching that ended by an error of ours is begun again, not too soon. */
const RESTART_MS = 60_000;

/** Watches the guest's health until it is closed, and says so when nothing can be found out. */
export function startWatcher(
  system: Omit<HealthPorts, 'wait'>,
  options: HealthOptions,
  log: Pick<Log, 'warning' | 'error'>,
  onHealth: (health: Health) => void,
): { close(): void } {
  const timers = new Set<NodeJS.Timeout>();
  const after = (ms: number, then: () => void): void => {
    const timer = setTimeout(() => {
      timers.delete(timer);
      then();
    }, ms);
    timers.add(timer);
  };
  let closed = false;

  let silence: NodeJS.Timeout | undefined;
  const heard = (): void => {
    clearTimeout(silence);
    silence = setTimeout(
      () => {
        log.warning("Nothing was found out about the guest's health for long: is a disk stuck?");
        onHealth(NOTHING_KNOWN);
      },
      (options.intervalSecs + SILENCE_SECS) * 1000,
    );
  };

  const start = (): void => {
    let over = false;
    const ports: HealthPorts = {
      systemState: () => system.systemState(),
      failedUnits: (units) => system.failedUnits(units),
      checks: () => system.checks(),
      runCheck: (file) => system.runCheck(file),
      wait: (ms) => new Promise((resolve) => after(ms, () => resolve(!over && !closed))),
    };
    const report = (health: Health): void => {
      if (over || closed) return;
      heard();
      onHealth(health);
    };
    const warn = (why: string): void => log.warning('A check is not run', { why });
    watchHealth(ports, options, report, warn).catch((error: unknown) => {
      over = true;
      if (closed) return;
      log.error("Watching the guest's health failed; trying again", { error });
      onHealth(NOTHING_KNOWN);
      after(RESTART_MS, start);
    });
  };
  heard();
  start();
  return {
    close: () => {
      closed = true;
      clearTimeout(silence);
      for (const timer of timers) clearTimeout(timer);
    },
  };
}
