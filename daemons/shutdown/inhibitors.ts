import type { Action } from './ports.ts';

/**
 * Reads the answer of logind's ListInhibitors as `busctl --json=short` prints it:
 * {"type":"a(ssssuu)","data":[[[what, who, why, mode, uid, pid], ...]]}. Gives those that block
 * this action, as "who: why". Source: org.freedesktop.login1(5).
 */
export function blockingInhibitors(json: string, action: Action): string[] {
  let rows: unknown;
  try {
    rows = (JSON.parse(json) as { data?: unknown[] } | null)?.data?.[0];
  } catch {
    return [];
  }
  if (!Array.isArray(rows)) return [];
  const what = action === 'hibernate' ? 'sleep' : 'shutdown';
  return rows.flatMap((row) => {
    if (!Array.isArray(row)) return [];
    const [kinds, who, why, mode] = row.map(String);
    // Those who only delay are logind's business; "block-weak" does not hold up the privileged
    return kinds?.split(':').includes(what) && mode === 'block' ? [`${who}: ${why}`] : [];
  });
}
