import os from 'node:os';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { killGroup } from '../runtime/executables.ts';
import type { Log } from '../runtime/log.ts';
import { type Health, NOTHING_KNOWN } from './health.ts';
import { watchHealth } from './monitor.ts';
import type { HealthOptions } from './ports.ts';
import { LinuxHealth } from './system.ts';

/** What the watching thread says. */
type Message = { readonly health: Health } | { readonly warning: string } | { readonly processId: number | undefined };

/** Without a word for this much longer than it may take, the thread is stuck: nothing is known any more. */
const SILENCE_SECS = 30;
/** A thread that ended by an error of ours is started again, not too soon. */
const RESTART_MS = 60_000;

/**
 * Watches the guest's health in a thread of its own: starting a program blocks whoever does it until its file has been read, which on a disk
 * that hangs takes as long as the disk does.
 */
export function startWatcher(
  file: URL,
  options: HealthOptions,
  log: Log,
  onHealth: (health: Health) => void,
): { close(): void } {
  let worker: Worker | undefined;
  let processId: number | undefined;
  let restart: NodeJS.Timeout | undefined;
  let closed = false;

  const silence = setTimeout(
    () => {
      log.warning("Nothing was found out about the guest's health for long: is a disk stuck?");
      onHealth(NOTHING_KNOWN);
    },
    (options.intervalSecs + SILENCE_SECS) * 1000,
  );

  const start = (): void => {
    const started = new Worker(file, {
      workerData: options,
      // It runs a few programs: no more than that
      resourceLimits: { maxYoungGenerationSizeMb: 2, maxOldGenerationSizeMb: 32 },
    });
    worker = started;
    started.on('message', (message: Message) => {
      if ('health' in message) {
        silence.refresh();
        onHealth(message.health);
      } else if ('warning' in message) log.warning('A check is not run', { why: message.warning });
      else processId = message.processId;
    });
    started.on('error', (error) => log.error("Watching the guest's health failed; trying again", { error }));
    started.on('exit', () => {
      if (closed) return;
      onHealth(NOTHING_KNOWN);
      restart = setTimeout(start, RESTART_MS);
    });
  };
  start();
  return {
    close: () => {
      closed = true;
      clearTimeout(silence);
      clearTimeout(restart);
      // The thread may not get a turn any more
      killGroup(processId, 'SIGKILL');
      void worker?.terminate();
    },
  };
}

/** True in the thread that `startWatcher` started, which then watches until the process ends. */
export function runsAsWatcher(): boolean {
  if (isMainThread) return false;
  try {
    // On Linux this thread's alone, and that of the programs it starts: answering comes first
    os.setPriority(os.constants.priority.PRIORITY_BELOW_NORMAL);
  } catch {
    // A sandbox forbids it: then all have the same
  }
  const options = workerData as HealthOptions;
  const say = (message: Message): void => parentPort!.postMessage(message);
  const system = new LinuxHealth(options, (processId) => say({ processId }));
  const wait = (ms: number): Promise<boolean> => new Promise((resolve) => setTimeout(resolve, ms, true));
  const ports = {
    systemState: () => system.systemState(),
    failedUnits: (units: readonly string[]) => system.failedUnits(units),
    checks: () => system.checks(),
    runCheck: (check: string) => system.runCheck(check),
    wait,
  };
  void watchHealth(
    ports,
    options,
    (health) => say({ health }),
    (warning) => say({ warning }),
  );
  return true;
}
