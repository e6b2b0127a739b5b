import { setTimeout as sleep } from 'node:timers/promises';
import { Freezer } from '../../daemons/vss/freeze/freezer.ts';
import { vssOptions } from '../../daemons/vss/freeze/options.ts';
import type { Plan, Skipped } from '../../daemons/vss/freeze/plan.ts';
import { isWorthTelling } from '../../daemons/vss/freeze/report.ts';
import {
  FREEZE_RESULTS,
  type FreezeRecord,
  readStatus,
  type VssStatus,
} from '../../daemons/vss/freeze/status.ts';
import {
  type Guards,
  LinuxFreezer,
  PLACES,
  type Places,
  policyOf,
  type VssOptions,
} from '../../daemons/vss/freeze/system.ts';
import { ConfigError, loadConfig } from '../../runtime/config.ts';
import { type Log, type LogHold, levels } from '../../runtime/log.ts';
import { isAlive } from '../../runtime/status/status-file.ts';
import { printable } from '../../runtime/text.ts';
import { commonOptions } from '../../runtime/transports/transport.ts';
import { CommandError, EXIT } from '../exit.ts';
import { type DaemonSurroundings, sleeps } from '../status/daemon-state.ts';

/** What these commands need beside their options. */
export interface VssSurroundings extends DaemonSurroundings {
  out(text: string): void;
  err(text: string): void;
  loadGuards(): Promise<Guards>;
  /** Asks a person; undefined where there is none. */
  readonly ask?: (question: string) => Promise<boolean>;
  readonly places?: Places;
}

/**
 * A freeze that somebody asks for by hand is thawed after this at the latest, whatever becomes of
 * the command.
 */
const MAX_FREEZE_MS = 600_000;
/** The guard's own limit comes this long after the command's: it is for a command that hangs. */
const GUARD_MARGIN_SECS = 5;
/** How long a guard that was told to stop may take. */
const GUARD_END_MS = 15_000;
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** The daemon's configuration: what would be frozen is up to it. */
export async function loadVssOptions(
  file: string,
  required: boolean,
  overrides: readonly string[],
): Promise<VssOptions> {
  const sections = { vss: { ...vssOptions, ...commonOptions('') } };
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

/** `vmic vss plan` */
export function showPlan(around: VssSurroundings, options: VssOptions, json: boolean): number {
  const ports = new LinuxFreezer(options, NO_GUARDS, around.places ?? PLACES);
  const made = ports.plan();
  const hooks = ports.hooks();
  if (json) {
    around.out(`${JSON.stringify({ ...made, hooks })}\n`);
    return EXIT.ok;
  }
  around.out(describePlan(made, hooks.files));
  warnOfPlan(around, made);
  for (const why of hooks.refused) around.err(`vmic: a hook is not run: ${printable(why)}\n`);
  return EXIT.ok;
}

/** A plan freezes nothing. */
const NO_GUARDS: Guards = {
  start: () => Promise.reject(new Error('no freeze here')),
  thawRecorded: () => Promise.reject(new Error('no freeze here')),
};

function warnOfPlan(around: VssSurroundings, { unmatched, strangeLines }: Plan): void {
  for (const item of unmatched) {
    around.err(
      `vmic: the configuration names ${printable(item)}, which matches nothing that is mounted\n`,
    );
  }
  if (strangeLines > 0)
    around.err(`vmic: ${strangeLines} lines of mountinfo could not be understood\n`);
}

function describePlan({ stages, skipped }: Plan, hooks: readonly string[]): string {
  const lines: string[] = [];
  const name = (where: string): string => printable(where);
  const names = [...stages.flat(), ...skipped.filter(isWorthTelling)].map(
    ({ mountPoint, source }) => name(mountPoint || source),
  );
  const width = Math.max(0, ...names.map((one) => one.length)) + 2;
  if (hooks.length > 0)
    lines.push(
      'Hooks, in this order before and backwards after:',
      ...hooks.map((h) => `  ${name(h)}`),
      '',
    );
  if (stages.length === 0) lines.push('Nothing would be frozen.');
  stages.forEach((stage, i) => {
    lines.push(
      stages.length === 1
        ? 'Frozen, all at once:'
        : i === 0
          ? 'Frozen first, since they lie on others:'
          : 'Then:',
    );
    for (const { mountPoint, fileSystem, source, deviceNumber, optional } of stage) {
      const what =
        `${fileSystem} on ${printable(source)} ` +
        `(${deviceNumber})${optional ? ', optional' : ''}`;
      lines.push(`  ${name(mountPoint).padEnd(width)}${what}`);
    }
  });
  const told = skipped.filter(isWorthTelling);
  if (told.length > 0)
    lines.push('', 'Left alone:', ...told.map((one) => `  ${describeSkipped(one, width)}`));
  const untold = skipped.length - told.length;
  if (untold > 0)
    lines.push('', `${untold} more are in memory or on other file systems (--json lists them).`);
  return `${lines.join('\n')}\n`;
}

const describeSkipped = ({ mountPoint, source, fileSystem, why }: Skipped, width: number): string =>
  `${printable(mountPoint || source).padEnd(width)}${fileSystem}: ${printable(why)}`;

/** `vmic vss freeze` */
export async function freezeFor(
  around: VssSurroundings,
  options: VssOptions,
  { forMs, yes, json }: { readonly forMs: number; readonly yes: boolean; readonly json: boolean },
): Promise<number> {
  const ports = new LinuxFreezer(options, await around.loadGuards(), around.places ?? PLACES);
  const seconds = `${forMs / 1000} s`;
  if (!yes) {
    if (around.ask === undefined)
      throw new CommandError('usage', 'give --yes: there is nobody to ask');
    around.out(describePlan(ports.plan(), ports.hooks().files));
    const question =
      `\nWhatever writes to these waits for ${seconds}; that can include this terminal's ` +
      'programs. Freeze?';
    if (!(await around.ask(question))) return EXIT.notFound;
  }
  const policy = { ...policyOf(options), limitSecs: Math.ceil(forMs / 1000) + GUARD_MARGIN_SECS };
  const freezer = new Freezer({ ports, policy, ...heldLog(around), by: 'command' });
  const wake = new AbortController();
  const stop = (): void => wake.abort();
  for (const signal of SIGNALS) process.on(signal, stop);
  try {
    if (!json) around.out(`Freezing for ${seconds}; Ctrl-C thaws.\n`);
    const freezing = freezer.freeze();
    wake.signal.addEventListener('abort', () => void freezer.stop('the command was told to stop'));
    const outcome = await freezing;
    if (outcome.ok) {
      const over = new AbortController();
      const either = AbortSignal.any([wake.signal, over.signal]);
      void freezer.over().then(() => over.abort());
      await sleep(forMs, undefined, { signal: either }).catch(() => {});
      if (!either.aborted) await freezer.thaw();
    }
    if (!outcome.ok && outcome.busy)
      throw new CommandError('busy', `${outcome.problem} (vmic vss status)`);
    const record = (await freezer.over()) as FreezeRecord;
    around.out(json ? `${JSON.stringify(record)}\n` : describeRecord(record));
    if (record.result === 'failed')
      throw new CommandError('system', record.problem ?? 'the freeze failed');
    return record.result === 'thawed' && record.problem === undefined ? EXIT.ok : EXIT.notFound;
  } finally {
    for (const signal of SIGNALS) process.removeListener(signal, stop);
  }
}

/**
 * Warnings and errors, on standard error once nothing is frozen: it may be a file on what is
 * frozen.
 */
function heldLog(around: VssSurroundings): { log: Log; logHold: LogHold } {
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

/** `vmic vss thaw` */
export async function thawNow(
  around: VssSurroundings,
  options: VssOptions,
  {
    force,
    lastResort,
    json,
  }: { readonly force: boolean; readonly lastResort: boolean; readonly json: boolean },
): Promise<number> {
  const current = read(options.status_file)?.current;
  const underWay = current !== undefined && isAlive(current.process);
  // Somebody sees to it
  if (lastResort && underWay) return EXIT.ok;
  if (underWay) {
    if (current.by === 'host' && !force) {
      throw new CommandError(
        'busy',
        'a backup of the host is under way, and would be spoilt: the service thaws in time ' +
          'by itself; --force thaws now all the same',
      );
    }
    if (current.guard === undefined || !isAlive(current.guard)) {
      throw new CommandError(
        'busy',
        'nothing is frozen at this moment; a freeze is about to begin, or has just ended',
      );
    }
    try {
      process.kill(current.guard.pid, 'SIGTERM');
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (code !== 'ESRCH')
        throw new CommandError(code === 'EPERM' ? 'permission' : 'system', message);
    }
    for (let leftMs = GUARD_END_MS; isAlive(current.guard); leftMs -= 20) {
      if (leftMs <= 0)
        throw new CommandError('system', `the guard (process ${current.guard.pid}) does not end`);
      await sleep(20);
    }
    around.out(
      json
        ? `${JSON.stringify({ thawed: current.mountPoints })}\n`
        : thawedLine(current.mountPoints),
    );
    return EXIT.ok;
  }
  const ports = new LinuxFreezer(options, await around.loadGuards(), around.places ?? PLACES);
  const freezer = new Freezer({
    ports,
    policy: policyOf(options),
    ...heldLog(around),
    by: 'command',
  });
  const recovery = await freezer.recover(current);
  if (json) around.out(`${JSON.stringify(recovery)}\n`);
  else if (recovery.thawed.length > 0 || !lastResort) around.out(thawedLine(recovery.thawed));
  if (!recovery.complete)
    throw new CommandError('system', recovery.problem ?? 'something is still frozen');
  return EXIT.ok;
}

const thawedLine = (mountPoints: readonly string[]): string =>
  mountPoints.length > 0
    ? `Thawed: ${mountPoints.map(printable).join(', ')}\n`
    : 'Nothing was frozen by vmic.\n';

/**
 * `vmic vss status`; "not found" when the service neither runs nor will with a host's next request.
 */
export async function showStatus(
  around: VssSurroundings,
  options: VssOptions,
  json: boolean,
): Promise<number> {
  const status = read(options.status_file);
  const running = status?.daemon !== undefined && isAlive(status.daemon);
  const asleep = !running && (await sleeps(around, 'vss'));
  const { current } = status ?? {};
  const underWay = current !== undefined && isAlive(current.process);
  if (json) around.out(`${JSON.stringify({ running, asleep, underWay, ...status })}\n`);
  else {
    const life = running
      ? `runs, process ${status?.daemon?.pid}`
      : asleep
        ? ASLEEP
        : 'does not run';
    around.out(describeStatus(status, life, underWay));
  }
  return running || asleep ? EXIT.ok : EXIT.notFound;
}

function read(file: string): VssStatus | undefined {
  try {
    return readStatus(file);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw code === 'EACCES' || code === 'EPERM'
      ? new CommandError('permission', `${file}: permission denied`)
      : new CommandError('system', message);
  }
}

const ASLEEP = "has no process: a host's request starts it";

function describeStatus(status: VssStatus | undefined, life: string, underWay: boolean): string {
  const { current, freezes = [] } = status ?? {};
  const lines = [`Service      ${life}`];
  if (current === undefined) lines.push('Now          nothing is frozen by it');
  else {
    const who = current.by === 'host' ? 'the host' : 'a command';
    const what = `for ${who} since ${current.at}: ${current.mountPoints.map(printable).join(', ')}`;
    lines.push(
      underWay
        ? `Now          a freeze ${what}`
        : `INTERRUPTED  a freeze ${what}; "vmic vss thaw" clears up`,
    );
  }
  if (freezes.length === 0) lines.push('Last         no freeze since the system was started');
  for (const record of freezes) lines.push('', describeRecord(record).trimEnd());
  return `${lines.join('\n')}\n`;
}

function describeRecord({
  by,
  at,
  result,
  problem,
  preparedMs,
  freezingMs,
  volumes,
  skipped,
  hooks,
}: FreezeRecord): string {
  const lines = [
    `${at}  for ${by === 'host' ? 'the host' : 'a command'}: ${FREEZE_RESULTS[result]}`,
  ];
  if (problem !== undefined) lines.push(`  problem: ${printable(problem)}`);
  if (preparedMs !== undefined && freezingMs !== undefined) {
    lines.push(`  ${ms(preparedMs)} to write out, ${ms(freezingMs)} to freeze`);
  }
  for (const { mountPoint, fileSystem, outcome, frozenForMs, problem: why } of volumes) {
    const time = frozenForMs === undefined ? '' : ` for ${ms(frozenForMs)}`;
    const words = {
      frozen: `frozen${time}`,
      foreign: 'frozen by somebody else, as before',
      left: 'not frozen',
    }[outcome];
    lines.push(
      `  ${printable(mountPoint)} (${fileSystem}): ${words}${why === undefined ? '' : `: ${printable(why)}`}`,
    );
  }
  if (skipped.length > 0) {
    lines.push(
      `  left alone: ${skipped.map((s) => `${printable(s.mountPoint || s.source)} (${s.reason})`).join(', ')}`,
    );
  }
  for (const { file, argument, ms: took, problem: why } of hooks) {
    lines.push(
      `  hook ${printable(file)} ${argument}: ${ms(took)}${why === undefined ? '' : `, ${printable(why)}`}`,
    );
  }
  return `${lines.join('\n')}\n`;
}

const ms = (time: number): string => `${time < 10 ? time.toFixed(1) : Math.round(time)} ms`;
