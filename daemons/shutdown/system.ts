import fs from 'node:fs';
import path from 'node:path';
import { monotonicMs } from '../../runtime/clock.ts';
import { killGroup, listExecutables, PROGRAM_PATH, run } from '../../runtime/executables.ts';
import { readText } from '../../runtime/files.ts';
import type { Log } from '../../runtime/log.ts';
import { printable } from '../../runtime/text.ts';
import { blockingInhibitors } from './inhibitors.ts';
import type { Action, Gone, ShutdownPorts, Urgency } from './ports.ts';

/** The host waits for an answer while these are asked. */
const QUESTION_TIMEOUT_MS = 2000;
const ANNOUNCE_TIMEOUT_MS = 5000;
const COMMAND_TIMEOUT_MS = 30_000;
const INHIBITORS_OUTPUT_BYTES = 256 * 1024;
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

type Command = readonly [program: string, ...args: string[]];

const SYSTEMD_VERB = {
  'power-off': 'poweroff',
  restart: 'reboot',
  hibernate: 'hibernate',
} as const;
/**
 * Of init systems without systemd: the kernel runs the same ones for hv_utils (kernel/reboot.c,
 * orderly_poweroff).
 */
const INIT_PROGRAM = { 'power-off': 'poweroff', restart: 'reboot' } as const;
const SYSRQ = { 'power-off': 'o', restart: 'b' } as const;

/**
 * The running guest. No text of a host is ever in an argument list: it goes through standard input
 * and environments.
 */
export class LinuxShutdown implements ShutdownPorts {
  readonly now = monotonicMs;
  readonly #options: LinuxShutdownOptions;
  readonly #log: Pick<Log, 'notice' | 'warning' | 'debug'>;
  readonly #env: Readonly<Record<string, string>>;
  readonly #waits = new Set<(goOn: boolean) => void>();
  #hookProcess: number | undefined;

  constructor(options: LinuxShutdownOptions, log: Pick<Log, 'notice' | 'warning' | 'debug'>) {
    this.#options = options;
    this.#log = log;
    this.#env = { PATH: options.programPath ?? PROGRAM_PATH, LC_ALL: 'C' };
  }

  async inhibitors(action: Action): Promise<readonly string[]> {
    if (!this.#hasSystemd()) return [];
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

  async hibernationProblem(): Promise<string | undefined> {
    const words = (file: string): string[] => this.#text(file).split(/[\s[\]]+/);
    if (!words('sys/power/state').includes('disk'))
      return 'this kernel does not offer it (/sys/power/state)';
    // hv_utils asks for the same: without ACPI S4 the host does not expect it
    if (!words('sys/power/disk').includes('platform'))
      return 'this virtual machine has no ACPI S4 state: the host has it switched off';
    if (this.#text('proc/swaps').trim().split('\n').length < 2) return 'there is no swap space';
    if (!this.#hasSystemd()) return 'there is no systemd-logind to do it';
    const { problem, output } = await askLogind(this.#env, 'CanHibernate');
    if (problem !== undefined) return `systemd-logind could not be asked: ${problem}`;
    return output.trim() === 's "yes"'
      ? undefined
      : `systemd-logind says ${printable(output.trim())}`;
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

  hooks() {
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
    let command: Command | string;
    if (this.#hasSystemd()) command = systemdCommand(action, urgency);
    else if (action === 'hibernate') return { result: 'failed', why: 'there is no systemd-logind' };
    else command = initCommand(action, urgency);
    if (this.#options.rehearses) {
      const words = typeof command === 'string' ? `sysrq ${command}` : command.join(' ');
      this.#log.notice('A rehearsal: the last command is not run', { command: words });
      return { result: 'rehearsed' };
    }
    return typeof command === 'string' ? this.#sysrq(command) : runCommand(command, this.#env);
  }

  afterAnswer(work: () => void): void {
    setImmediate(work);
  }

  wait(ms: number): { done: Promise<boolean>; cancel(): void } {
    let end: (goOn: boolean) => void = () => {};
    const done = new Promise<boolean>((resolve) => {
      end = (goOn) => {
        clearTimeout(timer);
        this.#waits.delete(end);
        resolve(goOn);
      };
      const timer = setTimeout(() => end(true), ms);
      this.#waits.add(end);
    });
    return { done, cancel: () => end(true) };
  }

  close(): void {
    for (const end of [...this.#waits]) end(false);
    killGroup(this.#hookProcess, 'SIGKILL');
  }

  #hasSystemd(): boolean {
    return fs.existsSync(this.#path('run/systemd/system')); // sd_booted(3)
  }

  /** Asks the kernel itself: flush, then off or restart. */
  async #sysrq(key: string): Promise<Gone> {
    const trigger = this.#path('proc/sysrq-trigger');
    try {
      fs.writeFileSync(trigger, 's', { flag: 'r+' });
      await this.wait(FLUSH_MS).done;
      fs.writeFileSync(trigger, key, { flag: 'r+' });
      return { result: 'going' };
    } catch (error) {
      return { result: 'failed', why: (error as Error).message };
    }
  }

  #path(file: string): string {
    return path.join(this.#options.root ?? '/', file);
  }

  #text(file: string): string {
    return readText(this.#path(file)) ?? '';
  }
}

type Env = Readonly<Record<string, string>>;

function askLogind(env: Env, method: string, ...options: string[]) {
  const object = [
    'org.freedesktop.login1',
    '/org/freedesktop/login1',
    'org.freedesktop.login1.Manager',
  ];
  return run('busctl', {
    args: [...options, 'call', ...object, method],
    env,
    timeoutMs: QUESTION_TIMEOUT_MS,
    outputBytes: INHIBITORS_OUTPUT_BYTES,
  });
}

async function runCommand([program, ...args]: Command, env: Env): Promise<Gone> {
  const { problem, errors } = await run(program, { args, env, timeoutMs: COMMAND_TIMEOUT_MS });
  if (problem === undefined) return { result: 'going' };
  return {
    result: 'failed',
    why: `${[program, ...args].join(' ')}: ${problem} ${printable(errors.trim())}`.trim(),
  };
}

function systemdCommand(action: Action, urgency: Urgency): Command {
  const force = { orderly: [], forced: ['--force'], immediate: ['--force', '--force'] }[urgency];
  // We have asked the inhibitors ourselves, and told the users
  return ['systemctl', '--no-wall', '-i', ...force, SYSTEMD_VERB[action]];
}

/** A program, or the key of a sysrq where programs have not helped. */
function initCommand(action: Exclude<Action, 'hibernate'>, urgency: Urgency): Command | string {
  if (urgency === 'immediate') return SYSRQ[action];
  return [INIT_PROGRAM[action], ...(urgency === 'forced' ? ['-f'] : [])];
}
