import type { VssOptions } from '../../daemons/vss/freeze/system.ts';
import { daemon } from '../../daemons/vss/options.ts';
import { ConfigError, loadConfig } from '../../runtime/config.ts';
import { sectionOptions } from '../../runtime/options.ts';
import { CommandError } from '../exit.ts';

/**
 * Longest freeze that an administrator can ask for. It is thawed after that, whatever becomes of
 * the command.
 */
const MAX_FREEZE_MS = 600_000;

/** The daemon's configuration: what would be frozen is up to it. */
export async function loadVssOptions(
  file: string,
  required: boolean,
  overrides: readonly string[],
): Promise<VssOptions> {
  const sections = { vss: sectionOptions(daemon) };
  try {
    return (await loadConfig({ file, required, overrides }, sections)).vss;
  } catch (error) {
    if (error instanceof ConfigError) throw new CommandError('usage', error.message);
    throw error;
  }
}

/** "10", "10s", "2m" and "500ms", in milliseconds. */
export function parseDuration(text: string): number {
  const match = /^(\d{1,6}(?:\.\d{1,3})?)(ms|s|m)?$/.exec(text);
  const unit = { ms: 1, s: 1000, m: 60_000 }[(match?.[2] ?? 's') as 'ms' | 's' | 'm'];
  const ms = match ? Number(match[1]) * unit : Number.NaN;
  if (ms > 0 && ms <= MAX_FREEZE_MS) return ms;
  throw new CommandError(
    'usage',
    `--for ${text}: expected a time up to 10m, for example 10s or 500ms`,
  );
}
