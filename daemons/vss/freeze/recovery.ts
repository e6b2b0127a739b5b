import type { Recovery } from './guard-types.ts';
import { runThawHooks } from './hooks.ts';
import type { FreezeNotes } from './notes.ts';
import type { FreezerContext } from './ports.ts';
import { logLeftBehind } from './report.ts';
import type { Asker, CurrentFreeze, FreezeRecord } from './status.ts';

const INTERRUPTED = 'the process that froze has ended, and all was thawed';

/**
 * Says why the last freeze ended early, if its asker is `by` and may not have heard it. `current`
 * is a freeze whose process ended; `last` is the newest one on record.
 */
export function unheardOf(
  by: Asker,
  current: CurrentFreeze | undefined,
  last: FreezeRecord | undefined,
): string | undefined {
  if (current !== undefined) return current.by === by ? INTERRUPTED : undefined;
  if (last?.by !== by || last.told === true) return undefined;
  const isNews = last.result === 'early' || last.result === 'interrupted';
  return isNews ? (last.problem ?? INTERRUPTED) : undefined;
}

/** Clears up after a process that ended in the middle of a freeze. Never rejects. */
export async function recover(
  context: FreezerContext,
  notes: FreezeNotes,
  current: CurrentFreeze | undefined,
): Promise<Recovery> {
  const { ports, log } = context;
  const recovery = await ports.thawRecorded();
  logLeftBehind(log, recovery.thawed);
  if (!recovery.complete) log.critical('Something is still frozen', { problem: recovery.problem });
  if (current === undefined) return recovery;
  const { by, at, mountPoints } = current;
  const hooks = await runThawHooks(context, current.hooks);
  log.error('A freeze was interrupted', { by, at, problem: INTERRUPTED, mountPoints });
  notes.interrupted({
    by,
    at,
    result: 'interrupted',
    problem: INTERRUPTED,
    volumes: [],
    skipped: [],
    hooks,
  });
  return recovery;
}
