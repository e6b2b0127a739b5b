import path from 'node:path';
import { monotonicMs } from '../../runtime/clock.ts';
import {
  type Executables,
  killGroup,
  listExecutables,
  PROGRAM_PATH,
  run,
} from '../../runtime/executables.ts';
import type { Log } from '../../runtime/log.ts';
import { printable } from '../../runtime/text.ts';
import { GuestFiles } from './guest-files.ts';
import { hibernationProblem } from './hibernation.ts';
import { blockingInhibitors } from './inhibitors.ts';
import { initCommand, pressSysrq, runCommand, systemdCommand } from './last-command.ts';
import { askLogind } from './logind.ts';
import type { Action, Gone, ShutdownPorts, Urgency, Wait } from './ports.ts';
import { Waits } from './waits.ts';

const ANNOUNCE_TIMEOUT_MS = 5000;
/** Of what a hook prints, this much gets into the log. */
const SHOWN_CHARACTERS = 500;
/** Time for the kernel to write out what it holds. */
const FLUSH_MS = 2000;

export interface LinuxShutdownOptions {
  readonly hooksDirectory: string;
  readonly announces: boolean;
  /** Says what the last command would be, and does not run it. */
  readonly rehearses: boolean;
  /** Where the system is looked at; "/" but in tests. */
  readonly root?: string;
  readonly programPath?: string;
}

/**
 * The running guest. No text of a host is ever in an argument list: it goes through standard input
 * and environments.
 */
export class LinuxShutdown implements ShutdownPorts {
  readonly now = monotonicMs;
  readonly #options: LinuxShutdownOptions;
  readonly #log: Pick<Log, 'notice' | 'warning' | 'debug'>;
  readonly #guest: GuestFiles;
  readonly #env: Readonly<Record<string, string>>;
  readonly #waits = new Waits();
  #hookProcess: number | undefined;

  constructor(options: LinuxShutdownOptions, log: Pick<Log, 'notice' | 'warning' | 'debug'>) {
    this.#options = options;
    this.#log = log;
    this.#guest = new GuestFiles(options.root ?? '/');
    this.#env = { PATH: options.programPath ?? PROGRAM_PATH, LC_ALL: 'C' };
  }

  async inhibitors(action: Action): Promise<readonly string[]> {
    if (!this.#guest.hasSystemd) return [];
    const { problem, output, errors } = await askLogind(
      this.#env,
      'ListInhibitors',
      '--json=short',
    );
    if (problem === undefined) return blockingInhibitors(output, action);
    this.#log.warning("Can't find out who inhibits a shutdown; going on as if nobody did", {
      problem,
      errors: printable(errors.trim()),
    });
    return [];
  }

  hibernationProblem(): Promise<string | undefined> {
    return hibernationProblem(this.#guest, this.#env);
  }

  async announce(text: string): Promise<void> {
    if (!this.#options.announces) return;
    const { problem } = await run('wall', {
      env: this.#env,
      timeoutMs: ANNOUNCE_TIMEOUT_MS,
      input: text,
    });
    if (problem !== undefined)
      this.#log.warning('Nobody could be told of the shutdown', { problem });
  }

  hooks(): Executables {
    return listExecutables(this.#options.hooksDirectory);
  }

  async runHook(
    file: string,
    env: Readonly<Record<string, string>>,
    timeoutMs: number,
  ): Promise<string | undefined> {
    const { problem, output, errors } = await run(file, {
      env: { ...this.#env, ...env },
      timeoutMs,
      onProcess: (pid) => {
        this.#hookProcess = pid;
      },
    });
    const said = printable(`${output.trim()} ${errors.trim()}`.trim()).slice(0, SHOWN_CHARACTERS);
    if (said !== '') this.#log.notice('A shutdown hook said', { hook: path.basename(file), said });
    return problem;
  }

  async go(action: Action, urgency: Urgency): Promise<Gone> {
    const commandOf = this.#guest.hasSystemd ? systemdCommand : initCommand;
    const command = commandOf(action, urgency);
    if (command.by === 'nothing') return { result: 'failed', why: command.why };
    const isSysrq = command.by === 'sysrq';
    if (this.#options.rehearses) {
      const words = isSysrq ? `sysrq ${command.key}` : command.words.join(' ');
      this.#log.notice('A rehearsal: the last command is not run', { command: words });
      return { result: 'rehearsed' };
    }
    if (!isSysrq) return runCommand(command.words, this.#env);
    const trigger = this.#guest.path('proc/sysrq-trigger');
    return pressSysrq(trigger, command.key, () => this.#waits.start(FLUSH_MS).done);
  }

  afterAnswer(work: () => void): void {
    setImmediate(work);
  }

  wait(ms: number): Wait {
    return this.#waits.start(ms);
  }

  close(): void {
    this.#waits.close();
    killGroup(this.#hookProcess, 'SIGKILL');
  }
}
