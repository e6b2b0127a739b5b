import { type MonotonicMs, monotonicMs } from '../clock.ts';
import { type Log, levels } from '../log.ts';

/**
 * A burst of lines of one kind, then one line for each interval that says how many it stands for.
 */
export const HOST_LOG_BURST = 5;
export const HOST_LOG_INTERVAL_MS = 10_000;
/** More kinds than the daemons have messages. */
const MAX_KINDS = 256;

/**
 * Returns the same log behind a limit, for lines that a host can trigger at will. The kind of a
 * line is its message: put what varies into the fields.
 */
export function limitLog(log: Log, now: MonotonicMs = monotonicMs): Log {
  const kinds = new Map<string, { tokens: number; last: number; suppressed: number }>();
  return levels((severity, message, fields) => {
    const at = now();
    let kind = kinds.get(message);
    if (!kind) {
      // Messages are constants of ours, so the map stays small. A message that is not constant must
      // not become a leak.
      if (kinds.size >= MAX_KINDS) kinds.clear();
      kind = { tokens: HOST_LOG_BURST, last: at, suppressed: 0 };
      kinds.set(message, kind);
    }
    const refill = Math.floor((at - kind.last) / HOST_LOG_INTERVAL_MS);
    if (refill > 0) {
      kind.tokens = Math.min(HOST_LOG_BURST, kind.tokens + refill);
      kind.last += refill * HOST_LOG_INTERVAL_MS;
    }
    if (kind.tokens === 0) {
      kind.suppressed++;
      return;
    }
    kind.tokens--;
    const suppressed = kind.suppressed;
    kind.suppressed = 0;
    log[severity](message, suppressed > 0 ? { ...fields, suppressedBefore: suppressed } : fields);
  });
}
