/** Starts and talks to the guard (native/guard; conversation.h lists the lines exchanged). */
import { type ChildProcess, spawn } from 'node:child_process';
import fs from 'node:fs';
import type { Duplex, Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { run } from '../../../runtime/executables.ts';
import type {
  FreezeReport,
  FreezeTarget,
  Guard,
  GuardEnd,
  GuardOptions,
  Recovery,
  TargetResult,
  ThawReason,
  ThawReport,
  ThawResult,
} from './guard-types.ts';
import { unescaped } from './mountinfo.ts';

/**
 * A guard that doesn't answer when told to thaw is killed, and its understudy thaws: a thaw takes
 * milliseconds.
 */
const THAW_ANSWER_MS = 15_000;
/** From its start to its first word; it may have to thaw what an earlier one left. */
const HELLO_MS = 20_000;
/** It waits 3 s for a guard to be gone, and 10 s for file systems that don't answer. */
const LAST_RESORT_MS = 30_000;

/** mountinfo's own escapes, which need no other parser on the far side. */
const escapePath = (path: string): string =>
  path.replace(
    /[ \t\n\\]/g,
    (character) => `\\${character.charCodeAt(0).toString(8).padStart(3, '0')}`,
  );

/** bin/ beside a bundle, build/Release beside the sources. */
function findProgram(): string {
  const candidates = ['./vmic-vss-guard', '../../../build/Release/vmic-vss-guard'].map((path) =>
    fileURLToPath(new URL(path, import.meta.url)),
  );
  const found = candidates.find((path) => fs.existsSync(path));
  if (found === undefined)
    throw new Error(`The guard is missing (looked for ${candidates.join(' and ')})`);
  return found;
}

class GuardError extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.name = 'GuardError';
    this.code = code;
  }
}

const word = (text: string | undefined): string | undefined => (text === '-' ? undefined : text);
/** Of microseconds; -1 stands for unknown. */
const toMs = (us: string | undefined): number | undefined =>
  us === undefined || us.startsWith('-') ? undefined : Number(us) / 1000;

const REFUSALS: Readonly<Record<string, string>> = {
  EBUSY: 'another one holds a freeze',
  ETIMEDOUT: 'what an earlier one left frozen can not be thawed',
  EINVAL: 'its record has to be a file on a tmpfs',
};

const FAILURES: Readonly<Record<string, string>> = {
  ENOENT: 'it is not mounted any more',
  ESTALE: 'other mounts hide it, and there is no way to it',
  EOPNOTSUPP: 'its kind of file system can not be frozen',
  ETIMEDOUT: 'it did not answer in time',
  ECANCELED: 'the freeze ended before it was its turn',
};

const describe = (code: string, call: string | undefined): string =>
  FAILURES[code] ?? (call === undefined ? 'failed' : `${call} failed`);

/** Text lines of a stream. */
class Lines {
  onLine: (line: string) => void = () => {};
  #rest = '';

  constructor(stream: Readable) {
    stream.setEncoding('utf8');
    stream.on('data', (chunk: string) => {
      const lines = (this.#rest + chunk).split('\n');
      this.#rest = lines.pop()!;
      for (const line of lines) this.onLine(line);
    });
    // The process's end tells why.
    stream.on('error', () => {});
  }
}

const frozenFor = (us: string | undefined): { frozenForMs?: number } => {
  const frozenForMs = toMs(us);
  return frozenForMs === undefined ? {} : { frozenForMs };
};

/** A promise that is resolved from outside, once. */
class Later<T> {
  readonly promise: Promise<T>;
  isResolved = false;
  #resolve!: (value: T) => void;

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

class GuardProcess implements Guard {
  readonly pid: number;
  readonly recovered: readonly string[];
  readonly ended: Promise<GuardEnd>;
  readonly #child: ChildProcess;
  readonly #socket: Duplex;
  readonly #options: GuardOptions;
  #targets: readonly FreezeTarget[] = [];
  readonly #results: TargetResult[] = [];
  readonly #thaws: ThawResult[] = [];
  readonly #frozen = new Later<FreezeReport>();
  readonly #thawed = new Later<ThawReport>();

  constructor(
    { child, socket, lines, closed }: Started,
    recovered: readonly string[],
    options: GuardOptions,
  ) {
    this.#child = child;
    this.#socket = socket;
    this.#options = options;
    this.recovered = recovered;
    this.pid = child.pid!;
    lines.onLine = (line) => this.#take(line);
    this.ended = closed.then((problem) => this.#end(problem));
  }

  freeze(stages: readonly (readonly FreezeTarget[])[], limitSecs: number): Promise<FreezeReport> {
    this.#targets = stages.flat();
    const lines = stages.flatMap((stage, index) =>
      stage.map(
        ({ optional, deviceNumber, mountPoint }) =>
          `${index} ${optional ? 'o' : 'r'} ${deviceNumber} ${escapePath(mountPoint)}\n`,
      ),
    );
    const plan = lines.join('');
    if (this.#targets.length === 0) {
      this.#frozen.resolve({ ok: true, targets: [], preparedMs: 0, frozenMs: 0 });
    } else {
      this.#socket.write(
        `freeze ${Math.round(limitSecs * 1000)} ${Buffer.byteLength(plan)}\n${plan}`,
      );
    }
    return this.#frozen.promise;
  }

  async thaw(): Promise<ThawReport> {
    if (this.#targets.length === 0) {
      this.#thawed.resolve({ reason: 'told', complete: true, targets: [] });
      this.close();
    } else if (!this.#thawed.isResolved) {
      this.#socket.write('thaw\n');
    }
    // One that hangs is of no use: without it its understudy thaws, or else the last resort
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), THAW_ANSWER_MS);
    const report = await this.#thawed.promise;
    clearTimeout(timer);
    return report;
  }

  close(): void {
    // Its report may still come
    this.#socket.end();
  }

  #take(line: string): void {
    const [kind, ...words] = line.split(' ');
    const target = this.#targets[Number(words[0])];
    switch (kind) {
      case 'target': {
        const [, outcome, code, call, frozenForUs] = words;
        const why = word(code);
        this.#results.push({
          ...{ target: target!, outcome: outcome as TargetResult['outcome'] },
          ...(why !== undefined && { code: why, detail: describe(why, word(call)) }),
          ...frozenFor(frozenForUs),
        });
        return;
      }
      case 'freeze': {
        const [outcome, index, code, call, preparedUs, frozenUs] = words;
        const why = word(code);
        const fatal = this.#targets[Number(index)];
        const reason =
          why === undefined ? 'it was broken off' : `${describe(why, word(call))} (${why})`;
        this.#frozen.resolve({
          ok: outcome === 'ok',
          ...(outcome !== 'ok' && {
            problem: fatal === undefined ? reason : `${fatal.mountPoint}: ${reason}`,
          }),
          ...{
            targets: this.#results,
            preparedMs: toMs(preparedUs) ?? 0,
            frozenMs: toMs(frozenUs) ?? 0,
          },
        });
        return;
      }
      case 'thawed': {
        const [, outcome, code, frozenForUs] = words;
        const why = word(code);
        this.#thaws.push({
          ...{ target: target!, outcome: outcome as ThawResult['outcome'] },
          ...(why !== undefined && { code: why }),
          ...frozenFor(frozenForUs),
        });
        return;
      }
      case 'thaw': {
        const [reason, completeness] = words;
        const complete = completeness === 'complete';
        const stuck = this.#thaws
          .filter(({ outcome }) => outcome === 'failed')
          .map((thaw) => thaw.target.mountPoint);
        this.#thawed.resolve({
          ...{ reason: reason as ThawReason, complete, targets: this.#thaws },
          ...(!complete && {
            problem: `no answer from ${stuck.join(', ')}; the guard goes on trying`,
          }),
        });
      }
    }
  }

  /**
   * The process has ended. Without a report it was killed: then its understudy thaws, and we see to
   * it.
   */
  async #end(problem: string | undefined): Promise<GuardEnd> {
    const words = `the guard ended before its time: ${problem ?? 'without a word'}`;
    const [failed, wasNeeded] = [!this.#frozen.isResolved, this.#targets.length > 0];
    if (wasNeeded && !this.#thawed.isResolved) {
      const recovery = await thawRecorded(this.#options);
      const held = this.#targets.filter(
        (target) => this.#results.find((one) => one.target === target)?.outcome === 'frozen',
      );
      this.#thawed.resolve({
        ...{ reason: 'died', complete: recovery.complete, problem: recovery.problem ?? words },
        targets: held.map((target) => ({
          target,
          outcome: recovery.complete ? 'thawed' : 'failed',
        })),
      });
    }
    if (failed) {
      const targets = this.#targets.map((target) => {
        return {
          target,
          outcome: 'failed' as const,
          code: 'ECANCELED',
          detail: FAILURES['ECANCELED']!,
        };
      });
      this.#frozen.resolve({ ok: false, problem: words, targets, preparedMs: 0, frozenMs: 0 });
    }
    this.#thawed.resolve({ reason: 'gone', complete: true, targets: [] });
    return {
      ...(wasNeeded && { thaw: await this.#thawed.promise }),
      ...(problem !== undefined && { problem }),
    };
  }
}

interface Started {
  readonly child: ChildProcess;
  readonly socket: Duplex;
  readonly lines: Lines;
  /**
   * Resolves when the process has ended and its last line is read: how it ended, unless by itself.
   */
  readonly closed: Promise<string | undefined>;
}

function spawnGuard({ recordPath, program = findProgram() }: GuardOptions): Started {
  const child = spawn(program, ['--record', recordPath], {
    stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
    cwd: '/',
    env: {},
  });
  const closed = new Promise<string | undefined>((resolve) => {
    child.on('error', (error) => resolve(error.message));
    child.on('close', (code, signal) => {
      resolve(
        signal ? `it was ended by ${signal}` : code === 0 ? undefined : `exit status ${code}`,
      );
    });
  });
  const socket = child.stdio[3] as Duplex;
  return { child, socket, lines: new Lines(socket), closed };
}

async function start(options: GuardOptions): Promise<Guard> {
  const started = spawnGuard(options);
  const recovered: string[] = [];
  const timer = setTimeout(() => started.child.kill('SIGKILL'), HELLO_MS);
  const refusal = await new Promise<GuardError | undefined>((resolve) => {
    started.lines.onLine = (line) => {
      const [kind, code = '', call, holder] = line.split(' ');
      if (kind === 'recovered') recovered.push(unescaped(code));
      else if (kind === 'hello') resolve(undefined);
      else resolve(new GuardError(code, refusalOf(code, word(call), holder)));
    };
    started.child.on('error', (error: NodeJS.ErrnoException) =>
      resolve(new GuardError(error.code ?? '', error.message)),
    );
    void started.closed.then((problem) => {
      resolve(
        new GuardError('ECHILD', `The guard ended at its start: ${problem ?? 'without a word'}`),
      );
    });
  });
  clearTimeout(timer);
  if (refusal !== undefined) throw refusal;
  return new GuardProcess(started, recovered, options);
}

function refusalOf(code: string, call: string | undefined, holder: string | undefined): string {
  const who = holder === undefined || holder === '0' ? '' : ` (process ${holder})`;
  const words = REFUSALS[code];
  return words === undefined
    ? `The guard can't start: ${call}: ${code}`
    : `The guard can't start: ${words}${who}`;
}

/**
 * The last resort: thaws what a guard that was killed left frozen, and nothing else. Never rejects.
 */
async function thawRecorded({
  recordPath,
  program = findProgram(),
}: GuardOptions): Promise<Recovery> {
  // At nearly every start of the service: a process for nothing
  if (!fs.existsSync(recordPath)) return { complete: true, thawed: [] };
  const { problem, output, errors } = await run(program, {
    args: ['--thaw-recorded', recordPath],
    env: {},
    timeoutMs: LAST_RESORT_MS,
    outputBytes: 1 << 20,
  });
  const lines = output.split('\n').map((line) => line.split(' '));
  const named = (kind: string) => lines.filter(([first]) => first === kind);
  const stuck = named('failed').map(([, path, code]) => `${unescaped(path!)} (${code})`);
  const why = stuck.length > 0 ? `still frozen: ${stuck.join(', ')}` : errors.trim() || problem;
  return {
    complete: problem === undefined,
    ...(problem !== undefined && { problem: why! }),
    thawed: named('thawed').map(([, path]) => unescaped(path!)),
  };
}

/** The real guard. */
export const guards = { start, thawRecorded };
