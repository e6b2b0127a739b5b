import type {
  FreezeReport,
  FreezeTarget,
  TargetResult,
  ThawReason,
  ThawReport,
  ThawResult,
} from './guard-types.ts';

/** Undefined where the guard has nothing to say. */
export const wordOf = (text: string | undefined): string | undefined =>
  text === '-' ? undefined : text;

/** Of microseconds; -1 stands for unknown. */
const toMs = (us: string | undefined): number | undefined =>
  us === undefined || us.startsWith('-') ? undefined : Number(us) / 1000;

const frozenFor = (us: string | undefined): { frozenForMs?: number } => {
  const frozenForMs = toMs(us);
  return frozenForMs === undefined ? {} : { frozenForMs };
};

const CANCELLED = 'the freeze ended before it was its turn';
const FAILURES: Readonly<Record<string, string>> = {
  ENOENT: 'it is not mounted any more',
  ESTALE: 'other mounts hide it, and there is no way to it',
  EOPNOTSUPP: 'its kind of file system can not be frozen',
  ETIMEDOUT: 'it did not answer in time',
  ECANCELED: CANCELLED,
};

const describe = (code: string, call: string | undefined): string =>
  FAILURES[code] ?? (call === undefined ? 'failed' : `${call} failed`);

/** A promise that is resolved from outside, once. */
class Later<T> {
  readonly promise: Promise<T>;
  isResolved = false;
  #resolve: (value: T) => void = () => {};

  constructor() {
    this.promise = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  resolve(value: T): void {
    this.isResolved = true;
    this.#resolve(value);
  }
}

/** Makes the guard's two reports of the lines it sends (conversation.h lists them). */
export class GuardReports {
  readonly frozen = new Later<FreezeReport>();
  readonly thawed = new Later<ThawReport>();
  #targets: readonly FreezeTarget[] = [];
  readonly #results: TargetResult[] = [];
  readonly #thaws: ThawResult[] = [];

  /** The targets that the lines count, from 0. */
  get targets(): readonly FreezeTarget[] {
    return this.#targets;
  }

  expect(targets: readonly FreezeTarget[]): void {
    this.#targets = targets;
  }

  take(line: string): void {
    const [kind, ...words] = line.split(' ');
    switch (kind) {
      case 'target':
        this.#takeTarget(words);
        return;
      case 'freeze':
        this.#takeFreeze(words);
        return;
      case 'thawed':
        this.#takeThawed(words);
        return;
      case 'thaw':
        this.#takeThaw(words);
    }
  }

  /** The guard was killed while it held the freeze, and `complete` says what others thawed. */
  endByDeath(complete: boolean, problem: string): void {
    const held = this.#results.filter(({ outcome }) => outcome === 'frozen');
    this.thawed.resolve({
      reason: 'died',
      complete,
      problem,
      targets: held.map(({ target }) => ({ target, outcome: complete ? 'thawed' : 'failed' })),
    });
  }

  /** The guard ended before it reported its freeze. */
  failFreeze(problem: string): void {
    const targets = this.#targets.map((target) => ({
      target,
      outcome: 'failed' as const,
      code: 'ECANCELED',
      detail: CANCELLED,
    }));
    this.frozen.resolve({ ok: false, problem, targets, preparedMs: 0, frozenMs: 0 });
  }

  #takeTarget([index, outcome, code, call, frozenForUs]: readonly string[]): void {
    const why = wordOf(code);
    this.#results.push({
      target: this.#targets[Number(index)]!,
      outcome: outcome as TargetResult['outcome'],
      ...(why !== undefined && { code: why, detail: describe(why, wordOf(call)) }),
      ...frozenFor(frozenForUs),
    });
  }

  #takeFreeze([outcome, index, code, call, preparedUs, frozenUs]: readonly string[]): void {
    const why = wordOf(code);
    const fatal = this.#targets[Number(index)];
    const reason =
      why === undefined ? 'it was broken off' : `${describe(why, wordOf(call))} (${why})`;
    this.frozen.resolve({
      ok: outcome === 'ok',
      ...(outcome !== 'ok' && {
        problem: fatal === undefined ? reason : `${fatal.mountPoint}: ${reason}`,
      }),
      targets: this.#results,
      preparedMs: toMs(preparedUs) ?? 0,
      frozenMs: toMs(frozenUs) ?? 0,
    });
  }

  #takeThawed([index, outcome, code, frozenForUs]: readonly string[]): void {
    const why = wordOf(code);
    this.#thaws.push({
      target: this.#targets[Number(index)]!,
      outcome: outcome as ThawResult['outcome'],
      ...(why !== undefined && { code: why }),
      ...frozenFor(frozenForUs),
    });
  }

  #takeThaw([reason, completeness]: readonly string[]): void {
    const complete = completeness === 'complete';
    const stuck = this.#thaws
      .filter(({ outcome }) => outcome === 'failed')
      .map((thaw) => thaw.target.mountPoint);
    this.thawed.resolve({
      reason: reason as ThawReason,
      complete,
      targets: this.#thaws,
      ...(!complete && {
        problem: `no answer from ${stuck.join(', ')}; the guard goes on trying`,
      }),
    });
  }
}
