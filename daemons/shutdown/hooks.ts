import type { Order } from './order.ts';
import type { ShutdownContext } from './ports.ts';
import { isPlanned, shownMessage, shownReason } from './request.ts';

/**
 * Runs the hooks, one after the other. Each gets its part of what is left of the hooks' share, so
 * that one that hangs takes no other's time.
 */
export async function runHooks(
  order: Order,
  { ports, log, policy }: ShutdownContext,
): Promise<void> {
  const { files, refused } = ports.hooks();
  for (const why of refused) log.warning('A shutdown hook is not run', { why });
  for (const [i, file] of files.entries()) {
    const endMs = order.startedMs + (order.deadlineMs - order.startedMs) * policy.hookShare;
    const timeoutMs = Math.floor((endMs - ports.now()) / (files.length - i));
    if (timeoutMs <= 0) {
      log.error('No time left for shutdown hooks', { skipped: files.slice(i) });
      return;
    }
    log.info('Running a shutdown hook', { file, timeoutMs });
    const env = environment(order, timeoutMs, ports.now());
    const problem = await ports.runHook(file, env, timeoutMs);
    if (problem !== undefined) log.error('A shutdown hook failed', { file, problem });
  }
}

function environment(
  { action, request, force, deadlineMs }: Order,
  timeoutMs: number,
  nowMs: number,
): Record<string, string> {
  return {
    VMIC_ACTION: action,
    VMIC_FORCE: force ? 'yes' : 'no',
    VMIC_REASON: shownReason(request),
    VMIC_PLANNED: isPlanned(request) ? 'yes' : 'no',
    VMIC_MESSAGE: shownMessage(request),
    VMIC_SECONDS_LEFT: String(Math.max(0, Math.round((deadlineMs - nowMs) / 1000))),
    VMIC_HOOK_SECONDS: String(Math.max(1, Math.floor(timeoutMs / 1000))),
  };
}
