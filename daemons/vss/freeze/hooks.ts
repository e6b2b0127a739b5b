import { printable } from '../../../runtime/text.ts';
import type { FreezerContext } from './ports.ts';
import type { HookRun } from './status.ts';

/** The log gets this much of what a hook prints. */
const SHOWN_CHARACTERS = 2000;

/** Runs one hook, and logs what it said. Never rejects. */
export async function runHook(
  { ports, log }: FreezerContext,
  file: string,
  argument: HookRun['argument'],
  timeoutMs: number,
): Promise<HookRun> {
  const startMs = ports.now();
  const { problem, output, errors } = await ports.runHook(file, argument, timeoutMs);
  const ms = Math.round(ports.now() - startMs);
  const said = printable(`${output.trim()} ${errors.trim()}`.trim()).slice(0, SHOWN_CHARACTERS);
  if (problem !== undefined) log.error('A freeze hook failed', { file, argument, problem, said });
  else if (said !== '') log.info('A freeze hook said', { file, argument, said });
  return { file, argument, ms, ...(problem === undefined ? {} : { problem }) };
}

/** Calls with "thaw", last one first, the hooks that were called with "freeze". */
export async function runThawHooks(
  context: FreezerContext,
  called: readonly string[],
): Promise<HookRun[]> {
  const runs: HookRun[] = [];
  for (const file of [...called].reverse())
    runs.push(await runHook(context, file, 'thaw', context.policy.hookTimeoutMs));
  return runs;
}
