import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { findExecutables, killGroup, PROGRAM_PATH, run } from '../../runtime/executables.ts';
import { printable } from '../../runtime/text.ts';
import { failedUnits, parseSystemState, type SystemState } from './health.ts';
import type { HealthOptions, HealthPorts } from './ports.ts';

/** systemd may be busy, but then somebody should know. */
const SYSTEMCTL_TIMEOUT_MS = 10_000;
const SYSTEMCTL_OUTPUT_BYTES = 64 * 1024;
/** Answering comes first. */
const NICENESS = os.constants.priority.PRIORITY_BELOW_NORMAL;
/** Of what a check prints, this much gets into the log. */
const SHOWN_CHARACTERS = 500;

export interface LinuxHealthOptions
  extends Pick<HealthOptions, 'checksDirectory' | 'checkTimeoutSecs'> {
  /** Where the system is looked at; "/" but in tests. */
  readonly root?: string;
  readonly programPath?: string;
}

/** The running guest, asked by programs. */
export class LinuxHealth implements Omit<HealthPorts, 'wait'> {
  readonly #options: LinuxHealthOptions;
  readonly #env: Readonly<Record<string, string>>;
  readonly #systemdRuns: string;
  #checkProcess: number | undefined;

  constructor(options: LinuxHealthOptions) {
    this.#options = options;
    this.#env = { PATH: options.programPath ?? PROGRAM_PATH, LC_ALL: 'C' };
    // sd_booted(3)
    this.#systemdRuns = path.join(options.root ?? '/', 'run/systemd/system');
  }

  async systemState(): Promise<SystemState> {
    if (!fs.existsSync(this.#systemdRuns)) return 'unknown';
    return parseSystemState((await this.#systemctl('--property=SystemState', '--value')) ?? '');
  }

  async failedUnits(units: readonly string[]): Promise<readonly string[]> {
    const text = await this.#systemctl('--property=LoadState,ActiveState', '--', ...units);
    return failedUnits(units, text ?? '');
  }

  checks() {
    return findExecutables(this.#options.checksDirectory);
  }

  async runCheck(file: string): Promise<string | undefined> {
    const { problem, output, errors } = await run(file, {
      env: this.#env,
      timeoutMs: this.#options.checkTimeoutSecs * 1000,
      niceness: NICENESS,
      onProcess: (pid) => {
        this.#checkProcess = pid;
      },
    });
    if (problem === undefined) return undefined;
    const said = printable(`${output.trim()} ${errors.trim()}`.trim()).slice(0, SHOWN_CHARACTERS);
    return `${path.basename(file)}: ${problem}${said === '' ? '' : `: ${said}`}`;
  }

  close(): void {
    killGroup(this.#checkProcess, 'SIGKILL');
  }

  async #systemctl(...args: string[]): Promise<string | undefined> {
    const { problem, output } = await run('systemctl', {
      args: ['show', ...args],
      env: this.#env,
      timeoutMs: SYSTEMCTL_TIMEOUT_MS,
      niceness: NICENESS,
      outputBytes: SYSTEMCTL_OUTPUT_BYTES,
    });
    return problem === undefined ? output : undefined;
  }
}
