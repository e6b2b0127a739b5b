import type { Log } from '../../../runtime/log.ts';
import type { TargetResult, ThawReport } from './guard-types.ts';
import type { Plan, Skipped } from './plan.ts';
import type { Attempt } from './states.ts';
import type { Asker, FreezeRecord, FreezeResult, FrozenVolume } from './status.ts';

/** How a freeze ended. */
export interface Ending {
  readonly result: FreezeResult;
  readonly problem: string | undefined;
  /** Undefined: the guard reported no thaw. */
  readonly thaw: ThawReport | undefined;
  /** It ended early, and its asker hears that by the answer to its thaw. */
  readonly told: boolean;
}

/** False for what is in memory or on other machines: it needs no words. */
export const isWorthTelling = ({ reason }: Skipped): boolean =>
  reason !== 'no-device' && reason !== 'overlay';

const describeSkipped = ({ mountPoint, source, fileSystem, why }: Skipped): string =>
  `${mountPoint || source} (${fileSystem}): ${why}`;

/** Logs what a plan leaves out. */
export function logPlan(log: Log, { skipped, unmatched, strangeLines }: Plan): void {
  const told = skipped.filter(isWorthTelling);
  if (told.length > 0)
    log.info('Left out of the freeze', { fileSystems: told.map(describeSkipped) });
  if (unmatched.length > 0)
    log.warning('The configuration names what is not mounted', { items: unmatched });
  if (strangeLines > 0)
    log.error('Lines of mountinfo could not be understood', { lines: strangeLines });
}

/** Logs what an earlier freeze had left frozen, if anything. */
export function logLeftBehind(log: Log, mountPoints: readonly string[]): void {
  if (mountPoints.length > 0)
    log.warning('Thawed what an earlier freeze had left behind', { mountPoints });
}

const EARLY: Readonly<Record<Exclude<ThawReport['reason'], 'told'>, string>> = {
  limit: 'the limit had passed without a word of the host',
  gone: 'the service had ended',
  signal: 'the guard was told to stop',
  failed: 'not all could be frozen',
  died: 'the guard was killed',
};

/** Says why a copy that was made until this thaw is doubtful. Undefined: it is not. */
export function doubtOf(thaw: ThawReport | undefined): string | undefined {
  if (thaw === undefined) return undefined;
  const { reason, complete, problem, targets } = thaw;
  if (!complete) return `not all could be thawed: ${problem ?? 'unknown'}`;
  if (reason !== 'told') return `everything was thawed before, since ${EARLY[reason]}`;
  const foreign = targets
    .filter(({ outcome }) => outcome === 'already-thawed')
    .map((t) => t.target.mountPoint);
  return foreign.length > 0 ? `somebody else had thawed ${foreign.join(', ')} before` : undefined;
}

const OUTCOMES = { frozen: 'frozen', 'already-frozen': 'foreign', failed: 'left' } as const;

function volumeOf(result: TargetResult, thawedMs: number | undefined): FrozenVolume {
  const { mountPoint, deviceNumber, fileSystem, source } = result.target;
  const frozenForMs = thawedMs ?? result.frozenForMs;
  const code = result.code ? ` (${result.code})` : '';
  return {
    mountPoint,
    deviceNumber,
    fileSystem,
    source,
    outcome: OUTCOMES[result.outcome],
    ...(frozenForMs === undefined ? {} : { frozenForMs }),
    ...(result.outcome === 'failed' ? { problem: `${result.detail ?? 'failed'}${code}` } : {}),
  };
}

/** Returns the record of a freeze that is over, without the thaw hooks. */
export function recordOf(
  by: Asker,
  { at, plan, report, runs }: Attempt,
  { result, problem, thaw, told }: Ending,
): FreezeRecord {
  const times = new Map(
    thaw?.targets.map(({ target, frozenForMs }) => [target.deviceNumber, frozenForMs]),
  );
  return {
    by,
    at,
    result,
    ...(problem === undefined ? {} : { problem }),
    ...(report ? { preparedMs: report.preparedMs, freezingMs: report.frozenMs } : {}),
    volumes: (report?.targets ?? []).map((one) =>
      volumeOf(one, times.get(one.target.deviceNumber)),
    ),
    skipped: (plan?.skipped ?? [])
      .filter(isWorthTelling)
      .map(({ mountPoint, source, reason }) => ({ mountPoint, source, reason })),
    hooks: runs,
    ...(told ? { told } : {}),
  };
}

/** Logs a freeze that is over. */
export function logRecord(
  log: Log,
  { result, problem, by, preparedMs, freezingMs, volumes }: FreezeRecord,
): void {
  const fields = {
    by,
    ...(problem === undefined ? {} : { problem }),
    preparedMs,
    freezingMs,
    fileSystems: volumes.map(({ mountPoint, outcome, frozenForMs, problem: why }) =>
      [
        mountPoint,
        outcome,
        ...(frozenForMs === undefined ? [] : [`${frozenForMs} ms`]),
        ...(why ? [why] : []),
      ].join(' '),
    ),
  };
  if (result === 'failed') log.error('The freeze failed; nothing is frozen', fields);
  else if (result === 'early') log.error('Thawed before it was asked for', fields);
  else if (problem !== undefined) log.error('Thawed, but the copy may not be consistent', fields);
  else log.notice('Frozen and thawed', fields);
}
