import fs from 'node:fs';
import { detectFormat } from './format.ts';
import { SEVERITIES, type Severity } from './severity.ts';

/** Writes one line at once, for when the event loop can't be used any more. */
export function lastWords(name: string, severity: Severity, message: string): void {
  const priority = SEVERITIES[severity];
  try {
    const prefix = detectFormat() === 'journal' ? `<${priority}>` : '';
    const line = JSON.stringify({ level: severity, priority, name, message });
    fs.writeSync(2, `${prefix}${line}\n`);
  } catch {
    // Nobody listens
  }
}
