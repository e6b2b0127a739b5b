import type { ApplicationState } from '../../protocol/heartbeat/vmbus.ts';

/**
 * What systemd says of the system as a whole (systemctl(1), is-system-running), as far as it
 * matters here.
 */
export type SystemState =
  | 'starting'
  | 'running'
  | 'degraded'
  | 'maintenance'
  | 'stopping'
  | 'unknown';

/** All that is known of the guest's health. */
export interface Health {
  readonly system: SystemState;
  /**
   * Watched units that failed, with what is wrong. Without watched units the system's state counts
   * instead.
   */
  readonly failedUnits: readonly string[];
  /** Checks that failed, with what is wrong. */
  readonly failedChecks: readonly string[];
}

export const NOTHING_KNOWN: Health = { system: 'unknown', failedUnits: [], failedChecks: [] };

export function parseSystemState(text: string): SystemState {
  const state = text.trim();
  switch (state) {
    case 'initializing':
    case 'starting':
      return 'starting';
    case 'running':
    case 'degraded':
    case 'maintenance':
    case 'stopping':
      return state;
    default:
      return 'unknown';
  }
}

/**
 * Reads `systemctl show --property=LoadState,ActiveState` of several units: blocks in the order of
 * the units, empty lines between. A unit that is not there counts as failed: somebody wanted it to
 * be watched.
 */
export function failedUnits(units: readonly string[], text: string): string[] {
  const blocks = text.trim().split(/\n\n+/);
  return units.flatMap((unit, i) => {
    const property = (name: string): string =>
      new RegExp(`^${name}=(.*)$`, 'm').exec(blocks[i] ?? '')?.[1] ?? '';
    const load = property('LoadState');
    if (load !== 'loaded') return [`${unit}: ${load || 'nothing known of it'}`];
    return property('ActiveState') === 'failed' ? [`${unit}: failed`] : [];
  });
}

/** What the host is told, and why. */
export function judge(
  health: Health,
  watchesUnits: boolean,
): { readonly state: ApplicationState; readonly reasons: readonly string[] } {
  const { system } = health;
  if (system === 'stopping') return { state: 'stopped', reasons: ['the system is going down'] };
  // Much fails that is not there yet
  if (system === 'starting') return { state: 'unknown', reasons: ['the system is starting'] };
  const reasons = [...health.failedUnits, ...health.failedChecks];
  if (system === 'maintenance') reasons.push('the system is in maintenance mode');
  if (system === 'degraded' && !watchesUnits) reasons.push('units failed (systemctl --failed)');
  if (reasons.length > 0) return { state: 'critical', reasons };
  return system === 'unknown'
    ? { state: 'unknown', reasons: ["the system's state is not known"] }
    : { state: 'healthy', reasons: [] };
}
