import type { Order } from './order.ts';
import type { Action } from './ports.ts';
import { shownMessage } from './request.ts';

const WORDS: Readonly<Record<Action, string>> = {
  'power-off': 'power off',
  restart: 'restart',
  hibernate: 'hibernate',
};

/** Returns what everybody who is logged in is told. */
export function announcement({ action, request, deadlineMs, startedMs }: Order): string {
  const message = shownMessage(request);
  return [
    `The host of this virtual machine (Hyper-V) has asked it to ${WORDS[action]} within ` +
      `${Math.round((deadlineMs - startedMs) / 1000)} seconds.`,
    ...(message === '' ? [] : [`Its message: ${message}`]),
    '',
  ].join('\n');
}
