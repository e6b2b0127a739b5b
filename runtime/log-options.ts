import type { OptionTable } from './config.ts';
import { SEVERITIES } from './log/severity.ts';

/** Section [log] of the configuration, for every daemon. */
export const logOptions = {
  level: {
    type: 'choice',
    default: 'info',
    choices: Object.keys(SEVERITIES),
    example: 'debug',
    help: 'Daemons log messages of this severity and of more severe ones.',
  },
} as const satisfies OptionTable;
