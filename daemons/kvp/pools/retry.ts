import { setTimeout as sleep } from 'node:timers/promises';
import { type MonotonicMs, monotonicMs } from '../../../runtime/clock.ts';
import { PoolError } from './types.ts';

/** How long a lock of another program is waited for; hv_utils waits 30 s for an answer. */
export const LOCK_PATIENCE_MS = 10_000;
const FIRST_WAIT_MS = 2;
const LONGEST_WAIT_MS = 128;

export interface Patience {
  readonly now: MonotonicMs;
  /** Waits; false when there is no use in waiting on, since the program is ending. */
  wait(ms: number): Promise<boolean>;
}

const wallPatience: Patience = { now: monotonicMs, wait: (ms) => sleep(ms, true) };

/**
 * Runs a pool operation: at once where possible, and again for a while as long as another program
 * holds the file's lock.
 */
export function retryWhileLocked<T>(
  operation: () => T,
  patience: Patience = wallPatience,
): T | Promise<T> {
  try {
    return operation();
  } catch (error) {
    if (!isLocked(error)) throw error;
    return retry(operation, patience, error);
  }
}

async function retry<T>(operation: () => T, patience: Patience, firstError: PoolError): Promise<T> {
  const deadlineMs = patience.now() + LOCK_PATIENCE_MS;
  let lastError = firstError;
  for (
    let waitMs = FIRST_WAIT_MS;
    patience.now() < deadlineMs;
    waitMs = Math.min(waitMs * 2, LONGEST_WAIT_MS)
  ) {
    if (!(await patience.wait(waitMs))) break;
    try {
      return operation();
    } catch (error) {
      if (!isLocked(error)) throw error;
      lastError = error;
    }
  }
  throw lastError;
}

const isLocked = (error: unknown): error is PoolError =>
  error instanceof PoolError && error.code === 'locked';
