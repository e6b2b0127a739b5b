import { runThawHooks } from './hooks.ts';
import type { FreezeNotes } from './notes.ts';
import type { FreezerContext } from './ports.ts';
import { type Ending, logRecord, recordOf } from './report.ts';
import type { Attempt } from './states.ts';
import type { FreezeRecord } from './status.ts';

/** Ends a freeze, whatever it came to: lets go of the guard, logs, calls hooks, and notes it. */
export async function clearUp(
  context: FreezerContext,
  notes: FreezeNotes,
  freeze: Attempt,
  ending: Ending,
): Promise<FreezeRecord> {
  const { log, logHold, by } = context;
  const { guard } = freeze;
  guard?.close();
  // Without a report of the thaw, only the guard's end says that nothing is frozen any more
  if (ending.thaw === undefined) await guard?.ended;
  logHold.release();
  const record = recordOf(by, freeze, ending);
  logRecord(log, record);
  const thawHooks = await runThawHooks(context, freeze.hooks);
  const whole: FreezeRecord = { ...record, hooks: [...record.hooks, ...thawHooks] };
  notes.over(whole);
  // The guard locks its record to the last, so until then the next freeze would be refused. One
  // that can't thaw is not waited for, because it may never end
  if (ending.thaw?.complete) await guard?.ended;
  return whole;
}
