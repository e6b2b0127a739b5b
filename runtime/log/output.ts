import type { DestinationStream } from 'pino';
import { decorate, type LogFormat } from './format.ts';
import { SEVERITIES, type Severity } from './severity.ts';

/** What may wait in memory when nobody reads our output. */
export const MAX_WAITING_BYTES = 1 << 20;
/**
 * How long the last lines may take. A reader that stalls must not keep the process from ending, nor
 * a backup from starting.
 */
const CLOSE_LIMIT_MS = 1000;

/** Standard error behind pino. */
export interface Output {
  readonly logger: Readonly<Record<Severity, (fields: object, message: string) => void>>;
  /** Resolves when nothing waits in memory, at the latest after CLOSE_LIMIT_MS. */
  drained(): Promise<void>;
  /** Writes what waits, and closes. False: the reader took too long. */
  finish(): Promise<boolean>;
}

/** Loads pino and opens the output. `onDrop` is called for each line that is dropped. */
export async function openOutput(
  name: string,
  format: LogFormat,
  onDrop: () => void,
): Promise<Output> {
  const { default: pino } = await import('pino');
  const destination = pino.destination({ dest: 2, sync: false, maxLength: MAX_WAITING_BYTES });
  destination.on('drop', onDrop);
  let state: 'writing' | 'drained' | 'broken' = 'drained';
  // EPIPE and the like. There is nowhere left to report it.
  destination.on('error', () => {
    state = 'broken';
  });
  // Comes whenever nothing waits any more
  destination.on('drain', () => {
    if (state === 'writing') state = 'drained';
  });
  const decorated: DestinationStream = {
    write(line) {
      if (state === 'drained') state = 'writing';
      destination.write(format === 'json' ? line : decorate(line, format));
    },
  };
  const logger = pino<Severity>(
    {
      base: { name, pid: process.pid },
      customLevels: pinoLevels,
      useOnlyCustomLevels: true,
      level: 'debug',
      timestamp: false,
      messageKey: 'message',
      formatters: { level: (label) => ({ level: label, priority: SEVERITIES[label as Severity] }) },
    },
    decorated,
  );
  /** Resolves to whether the event, or an error, came in time. */
  const awaitEvent = (event: 'close' | 'drain'): Promise<boolean> =>
    new Promise((resolve) => {
      const settle = (inTime: boolean): void => {
        clearTimeout(timer);
        destination.off(event, came).off('error', came);
        resolve(inTime);
      };
      const came = (): void => settle(true);
      const timer = setTimeout(settle, CLOSE_LIMIT_MS, false);
      destination.on(event, came).on('error', came);
    });
  return {
    logger,
    drained: async () => {
      if (state === 'writing') await awaitEvent('drain');
    },
    // Not flushSync, which waits for a stalled reader for ever
    finish: async () => {
      if (state === 'broken') return true;
      const closed = awaitEvent('close');
      destination.end();
      return closed;
    },
  };
}

/** pino sorts upwards by number, syslog downwards. */
const pinoLevels = Object.fromEntries(
  Object.entries(SEVERITIES).map(([severity, priority]) => [severity, (8 - priority) * 10]),
) as Record<Severity, number>;
