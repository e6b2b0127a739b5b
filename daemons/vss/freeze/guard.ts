/** Starts and talks to the guard (native/guard; conversation.h lists the lines exchanged). */
import { type ChildProcess, spawn } from 'node:child_process';
import fs from 'node:fs';
import type { Duplex, Readable } from 'node:stream';
import { locateProgram } from '../../../native/locate.ts';
import { run } from '../../../runtime/executables.ts';
import { GuardReports, wordOf } from './guard-reports.ts';
import type {
  FreezeReport,
  FreezeTarget,
  Guard,
  GuardEnd,
  GuardOptions,
  Recovery,
  ThawReport,
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

const findProgram = (): string => locateProgram('vmic-vss-guard');

class GuardError extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.name = 'GuardError';
    this.code = code;
  }
}

const REFUSALS: Readonly<Record<string, string>> = {
  EBUSY: 'another one holds a freeze',
  ETIMEDOUT: 'what an earlier one left frozen can not be thawed',
  EINVAL: 'its record has to be a file on a tmpfs',
};

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

class GuardProcess implements Guard {
  readonly pid: number;
  readonly recovered: readonly string[];
  readonly ended: Promise<GuardEnd>;
  readonly #child: ChildProcess;
  readonly #socket: Duplex;
  readonly #options: GuardOptions;
  readonly #reports = new GuardReports();

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
    lines.onLine = (line) => this.#reports.take(line);
    this.ended = closed.then((problem) => this.#end(problem));
  }

  freeze(stages: readonly (readonly FreezeTarget[])[], limitSecs: number): Promise<FreezeReport> {
    const { frozen } = this.#reports;
    this.#reports.expect(stages.flat());
    const lines = stages.flatMap((stage, index) =>
      stage.map(
        ({ optional, deviceNumber, mountPoint }) =>
          `${index} ${optional ? 'o' : 'r'} ${deviceNumber} ${escapePath(mountPoint)}\n`,
      ),
    );
    const plan = lines.join('');
    if (lines.length === 0) {
      frozen.resolve({ ok: true, targets: [], preparedMs: 0, frozenMs: 0 });
    } else {
      this.#socket.write(
        `freeze ${Math.round(limitSecs * 1000)} ${Buffer.byteLength(plan)}\n${plan}`,
      );
    }
    return frozen.promise;
  }

  async thaw(): Promise<ThawReport> {
    const { targets, thawed } = this.#reports;
    if (targets.length === 0) {
      thawed.resolve({ reason: 'told', complete: true, targets: [] });
      this.close();
    } else if (!thawed.isResolved) {
      this.#socket.write('thaw\n');
    }
    // One that hangs is of no use: without it its understudy thaws, or else the last resort
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), THAW_ANSWER_MS);
    const report = await thawed.promise;
    clearTimeout(timer);
    return report;
  }

  close(): void {
    // Its report may still come
    this.#socket.end();
  }

  /**
   * The process has ended. Without a report it was killed: then its understudy thaws, and we see to
   * it.
   */
  async #end(problem: string | undefined): Promise<GuardEnd> {
    const words = `the guard ended before its time: ${problem ?? 'without a word'}`;
    const { targets, frozen, thawed } = this.#reports;
    const [failed, wasNeeded] = [!frozen.isResolved, targets.length > 0];
    if (wasNeeded && !thawed.isResolved) {
      const recovery = await thawRecorded(this.#options);
      this.#reports.endByDeath(recovery.complete, recovery.problem ?? words);
    }
    if (failed) this.#reports.failFreeze(words);
    thawed.resolve({ reason: 'gone', complete: true, targets: [] });
    return {
      ...(wasNeeded && { thaw: await thawed.promise }),
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
      else resolve(new GuardError(code, refusalOf(code, wordOf(call), holder)));
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
async function thawRecorded({ recordPath, program: given }: GuardOptions): Promise<Recovery> {
  // At nearly every start of the service: a process for nothing
  if (!fs.existsSync(recordPath)) return { complete: true, thawed: [] };
  let program: string;
  try {
    program = given ?? findProgram();
  } catch (error) {
    return { complete: false, problem: (error as Error).message, thawed: [] };
  }
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
