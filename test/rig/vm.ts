/**
 * What the tests in the rig share: a kernel made ready, the project as built in its guest, and
 * scripts run there.
 */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import readline from 'node:readline';
import { after, before, describe, it } from 'node:test';

const rig = import.meta.dirname;
const root = path.dirname(path.dirname(rig));

/** Those whose uio_hv_generic takes channels without a monitor page. */
const KERNELS = ['6.12', '7.2'];

/** Only there against hanging for ever: no test of the rig may fail because the machine is busy. */
export const HANGING_SECS = 3600;

/** Why there can be no rig here, or false. */
export const impossible =
  process.arch !== 'x64' || !fs.existsSync('/etc/debian_version')
    ? 'the rig needs Debian on amd64'
    : process.getuid?.() !== 0
      ? 'the rig needs root'
      : false;

export interface Guest {
  readonly kernel: string;
  /**
   * Describes a test: a script of `test/rig/services`, in Python unless its name says otherwise,
   * ends with status 0.
   */
  passes(what: string, script: string, options?: ScriptOptions): void;
}

export interface ScriptOptions {
  readonly args?: readonly string[];
  /** Of run.sh. */
  readonly rig?: readonly string[];
  /** Why it can't be here. */
  readonly skip?: string | false;
}

/**
 * Describes tests for each of the kernels, or of those that VMIC_RIG_KERNELS names. The project
 * lies in /opt/vmic there.
 */
export function inEachKernel(
  name: string,
  tests: (guest: Guest) => void,
  byDefault = KERNELS,
): void {
  describe(name, { skip: impossible }, () => {
    let staged: string;
    before(() => {
      staged = stage();
    });
    after(() => fs.rmSync(staged, { recursive: true, force: true }));
    for (const kernel of chosenKernels(byDefault)) {
      describe(`kernel ${kernel}`, () => {
        let missing: string | undefined;
        before(() => {
          missing = setUp(kernel);
        });
        const passes: Guest['passes'] = (
          what,
          script,
          { args = [], rig: options = [], skip = false } = {},
        ) =>
          it(what, { skip }, async (t) => {
            if (missing !== undefined) return t.skip(missing);
            const command = [...commandOf(script), ...args];
            assert.equal(
              await runInRig([...guestOptions(kernel, staged), ...options, '--', ...command]),
              0,
            );
          });
        tests({ kernel, passes });
      });
    }
  });
}

/** The kernels that VMIC_RIG_KERNELS names, or those given. */
export function chosenKernels(byDefault: readonly string[]): readonly string[] {
  return process.env['VMIC_RIG_KERNELS']?.split(/[ ,]+/).filter(Boolean) ?? byDefault;
}

/** Options of run.sh for a guest that holds the project and the scripts of this folder. */
const guestOptions = (kernel: string, staged: string): readonly string[] => [
  ...['--kernel', kernel, '--timeout', String(HANGING_SECS)],
  ...['--copy', `${staged}:/opt/vmic`, '--copy', `${path.join(rig, 'kvp')}:/opt/kvp`],
  ...['--copy', `${path.join(rig, 'services')}:/opt/services`],
];

const commandOf = (script: string): readonly string[] => [
  script.endsWith('.sh') ? 'bash' : 'python3',
  path.resolve('/opt/services', script),
];

/** One of the tests of a machine: what it shows, and its script with arguments. */
export type Part = readonly [what: string, script: string, ...args: string[]];

/** What several tests need together. */
export interface Machine {
  readonly kernel: string;
  /** Options of run.sh. */
  readonly rig?: readonly string[];
  /** How the guest goes down in the last part, by itself. */
  readonly end?: 'poweroff' | 'reboot';
  readonly parts: readonly Part[];
}

/**
 * Boots a guest once, and runs several tests in it, one after the other. Returns how each ended,
 * and the whole.
 */
export async function runTogether(
  { kernel, rig: options = [], end, parts }: Machine,
  { name, staged }: { readonly name: string; readonly staged: string },
): Promise<{ readonly status: number | null; readonly ends: readonly (number | undefined)[] }> {
  const commands = parts.map(([, script, ...args]) => [...commandOf(script), ...args].join(' '));
  const ending = end === undefined ? [] : ['--expect', end, '--expect-wait', '600'];
  const args = [...guestOptions(kernel, staged), ...options, ...ending];
  let ends: (number | undefined)[] = [];
  let current = 0;
  const status = await runInRig([...args, '--', ...commandOf('parts.sh'), ...commands], (line) => {
    process.stdout.write(`${name} | ${line}\n`);
    const [, part, partStatus] = /^=== part (\d+) (?:begins|ended with (\d+))/.exec(line) ?? [];
    // A second try begins again
    if (part === '1' && partStatus === undefined) ends = [];
    if (part !== undefined) current = Number(part) - 1;
    if (partStatus !== undefined) ends[current] = Number(partStatus);
    // Of a check; a guest that goes down may take the part's own status with it
    else if (line.startsWith('FAILED  ')) ends[current] = 1;
  });
  // The guest may be down before its last part has ended: then the status of the whole says that it
  // went down as it should
  if (end !== undefined) ends[parts.length - 1] ??= status ?? undefined;
  return { status, ends };
}

/**
 * Makes all kernels ready at once, which is sooner than one after the other. Returns why some are
 * missing, by kernel.
 */
export function setUpAll(kernels: readonly string[]): ReadonlyMap<string, string> {
  if (
    kernels.length > 1 &&
    spawnSync(path.join(rig, 'setup.sh'), kernels, { stdio: ['ignore', 2, 2] }).status === 0
  ) {
    return new Map();
  }
  return new Map(
    kernels.flatMap((kernel) => {
      const missing = setUp(kernel);
      return missing === undefined ? [] : [[kernel, missing] as const];
    }),
  );
}

/**
 * Debian's sid moves on: a kernel that is no longer there can't be tested, and that is said; any
 * other failure is one.
 */
export function setUp(kernel: string): string | undefined {
  const setup = spawnSync(path.join(rig, 'setup.sh'), [kernel], { encoding: 'utf8' });
  process.stderr.write(setup.stdout);
  if (setup.status !== 0 && /cloud kernel \(any more\)/.test(setup.stderr))
    return setup.stderr.trim();
  assert.equal(setup.status, 0, setup.stderr);
  return undefined;
}

/** What a guest needs of the project: the bundles, the addon beside them, and the units. */
export function stage(): string {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'vmic-rig-'));
  for (const part of ['bin', 'systemd'])
    fs.cpSync(path.join(root, part), path.join(folder, part), { recursive: true });
  fs.mkdirSync(path.join(folder, 'build/Release'), { recursive: true });
  fs.copyFileSync(
    path.join(root, 'build/Release/vmic.node'),
    path.join(folder, 'build/Release/vmic.node'),
  );
  fs.copyFileSync(
    path.join(root, 'test/packaging/unit-in-guest.sh'),
    path.join(folder, 'unit-in-guest.sh'),
  );
  return folder;
}

/** Exit status of run.sh when the kernel itself complained or panicked. */
const KERNEL_COMPLAINT = 120;

const show = (line: string): void => {
  process.stdout.write(`${line}\n`);
};

/**
 * Runs something in a virtual machine (arguments of run.sh). Gives its output line by line (from a
 * serial line it comes in crumbs) to `tell`. Returns its exit status. A kernel that broke gets a
 * second try: hv_utils frees its char device while the last user's close is still at work
 * (hvutil_transport_destroy, drivers/hv/hv_utils_transport.c), which seldom ends in an oops
 * whatever the daemon does. What a daemon does wrong breaks it twice.
 */
export async function runInRig(args: readonly string[], tell = show): Promise<number | null> {
  const status = await runOnce(args, tell);
  if (status !== KERNEL_COMPLAINT) return status;
  tell('the kernel complained: a second try tells whether it does so every time');
  return runOnce(args, tell);
}

async function runOnce(
  args: readonly string[],
  tell: (line: string) => void,
): Promise<number | null> {
  const child = spawn(path.join(rig, 'run.sh'), args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const closed = new Promise<number | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  for await (const line of readline.createInterface({ input: child.stdout })) tell(line);
  return closed;
}
