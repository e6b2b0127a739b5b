import { setTimeout } from 'node:timers/promises';

/** For a machine that is busy with other things. */
const START_LIMIT_MS = 300_000;

/** A daemon that was just started. */
export interface Starting {
  /** Resolves when the daemon registers. */
  readonly registered: Promise<unknown>;
  /** Resolves when the daemon has ended, to how. */
  readonly exited: Promise<unknown>;
  /** Returns what the daemon said on standard error. */
  errors(): string;
}

/** Resolves when the daemon registers. Throws when it ends before, or takes too long. */
export async function untilRegistered({ registered, exited, errors }: Starting): Promise<void> {
  const early = exited.then((how) => {
    throw new Error(`the daemon ended (${how}) before it registered: ${errors()}`);
  });
  early.catch(() => {});
  const deadline = new AbortController();
  const late = setTimeout(START_LIMIT_MS, undefined, { signal: deadline.signal }).then(() => {
    throw new Error(`the daemon did not register within ${START_LIMIT_MS / 1000} s: ${errors()}`);
  });
  late.catch(() => {});
  try {
    await Promise.race([registered, early, late]);
  } finally {
    deadline.abort();
  }
}
