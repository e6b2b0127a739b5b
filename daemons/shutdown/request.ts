import { REASON_PLANNED, type ShutdownRequest } from '../../protocol/shutdown/vmbus.ts';
import { printable } from '../../runtime/text.ts';
import type { Action } from './ports.ts';

const SHOWN_MESSAGE_CHARACTERS = 500;

/**
 * Returns what a host asks for. Undefined: its flags mean nothing together (drivers/hv/hv_util.c
 * knows 0 to 5).
 */
export function actionOf({ flags }: ShutdownRequest): Action | undefined {
  if (flags.unknown !== 0 || (flags.restart && flags.hibernate)) return undefined;
  if (flags.hibernate) return 'hibernate';
  return flags.restart ? 'restart' : 'power-off';
}

/** Returns the host's reason as hooks and the log show it. */
export const shownReason = ({ reasonCode }: ShutdownRequest): string =>
  `0x${reasonCode.toString(16).padStart(8, '0')}`;

export const isPlanned = ({ reasonCode }: ShutdownRequest): boolean =>
  (reasonCode & REASON_PLANNED) !== 0;

/** Returns the host's words in a form that controls no terminal. */
export const shownMessage = ({ message }: ShutdownRequest): string =>
  printable(message).slice(0, SHOWN_MESSAGE_CHARACTERS);

/** Returns a request as the log shows it. */
export const logFields = (
  request: ShutdownRequest,
  action: Action | undefined,
): Record<string, unknown> => ({
  action: action ?? 'unknown',
  force: request.flags.force,
  ...(action === undefined ? { flags: request.flags } : {}),
  reason: shownReason(request),
  timeoutSecs: request.timeoutSecs,
  text: shownMessage(request),
});
