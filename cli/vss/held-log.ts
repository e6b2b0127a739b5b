import { type Log, type LogHold, levels } from '../../runtime/log.ts';
import { printable } from '../../runtime/text.ts';
import type { Surroundings } from '../surroundings.ts';

/**
 * Warnings and errors, on standard error once nothing is frozen: it may be a file on what is
 * frozen.
 */
export function heldLog(around: Pick<Surroundings, 'err'>): { log: Log; logHold: LogHold } {
  let held: string[] | undefined;
  const write = (line: string): void => {
    if (held) held.push(line);
    else around.err(line);
  };
  return {
    log: levels((severity, message, fields) => {
      if (severity === 'debug' || severity === 'info' || severity === 'notice') return;
      const { problem, file, said, why } = fields ?? {};
      const words = [file, problem, why, said]
        .filter((word) => word !== undefined && word !== '')
        .map(String);
      write(`vmic: ${message}${words.length > 0 ? `: ${words.map(printable).join(': ')}` : ''}\n`);
    }),
    logHold: {
      hold: async () => {
        held ??= [];
      },
      release: () => {
        const lines = held ?? [];
        held = undefined;
        for (const line of lines) around.err(line);
      },
    },
  };
}
