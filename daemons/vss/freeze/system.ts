import fs from 'node:fs';
import { monotonicMs } from '../../../runtime/clock.ts';
import type { OptionValues } from '../../../runtime/config.ts';
import {
  type Executables,
  killGroup,
  listExecutables,
  type Outcome,
  PROGRAM_PATH,
  run,
} from '../../../runtime/executables.ts';
import { readText } from '../../../runtime/files.ts';
import { identityOf, ownIdentity } from '../../../runtime/status/status-file.ts';
import type { vssOptions } from '../options.ts';
import { readBlockFacts } from './block-devices.ts';

import type { Guard, GuardOptions, GuardStarter, Recovery } from './guard-types.ts';
import { type Plan, plan } from './plan.ts';
import type { FreezePolicy, FreezerPorts } from './ports.ts';
import { changeStatus, type VssStatus } from './status.ts';

export type VssOptions = OptionValues<typeof vssOptions>;

/** What a hook prints beyond this is dropped. */
const HOOK_OUTPUT_BYTES = 4096;

/** Where the system is looked at: elsewhere only in tests. */
export interface Places {
  readonly proc: string;
  readonly sysfs: string;
}
export const PLACES: Places = { proc: '/proc', sysfs: '/sys' };

/** The guard, and the last resort where one was killed. */
export interface Guards extends GuardStarter {
  thawRecorded(options: GuardOptions): Promise<Recovery>;
}

/** What would be frozen now. Throws when mountinfo can't be read. */
export function planNow(options: VssOptions, { proc, sysfs }: Places = PLACES): Plan {
  const { include, exclude, optional, freeze_loops: freezesLoops } = options;
  const mountinfo = fs.readFileSync(`${proc}/self/mountinfo`, 'utf8');
  // A kernel without swap has no such file
  const swaps = readText(`${proc}/swaps`) ?? '';
  const facts = readBlockFacts(mountinfo, [...include, ...exclude, ...optional], sysfs);
  return plan(mountinfo, swaps, facts, { include, exclude, optional, freezesLoops });
}

export const policyOf = (options: VssOptions): FreezePolicy => ({
  limitSecs: options.limit_secs,
  hookTimeoutMs: options.hook_timeout_secs * 1000,
  optionalHooks: options.optional_hooks,
});

/** The running system. */
export class LinuxFreezer implements FreezerPorts {
  readonly now = monotonicMs;
  readonly self = ownIdentity();
  readonly identityOf = identityOf;
  readonly #options: VssOptions;
  readonly #guards: Guards;
  readonly #places: Places;
  #hookProcess: number | undefined;

  constructor(options: VssOptions, guards: Guards, places: Places = PLACES) {
    this.#options = options;
    this.#guards = guards;
    this.#places = places;
  }

  plan(): Plan {
    return planNow(this.#options, this.#places);
  }

  startGuard(): Promise<Guard> {
    return this.#guards.start({ recordPath: this.#options.record_file });
  }

  thawRecorded(): Promise<Recovery> {
    return this.#guards.thawRecorded({ recordPath: this.#options.record_file });
  }

  hooks(): Executables {
    const folders = this.#options.hooks_directories.map(listExecutables);
    return {
      files: folders.flatMap(({ files }) => files),
      refused: folders.flatMap(({ refused }) => refused),
    };
  }

  runHook(file: string, argument: 'freeze' | 'thaw', timeoutMs: number): Promise<Outcome> {
    return run(file, {
      args: [argument],
      env: { PATH: PROGRAM_PATH, LC_ALL: 'C' },
      timeoutMs,
      outputBytes: HOOK_OUTPUT_BYTES,
      onProcess: (pid) => {
        this.#hookProcess = pid;
      },
    });
  }

  killHook(): void {
    killGroup(this.#hookProcess, 'SIGTERM');
  }

  changeStatus(change: (status: VssStatus) => VssStatus): void {
    changeStatus(this.#options.status_file, change);
  }

  time(): Date {
    return new Date();
  }

  after(ms: number, work: () => void): () => void {
    const timer = setTimeout(work, ms);
    return () => clearTimeout(timer);
  }
}
