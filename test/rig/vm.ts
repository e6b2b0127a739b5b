/**
 * What the tests in the rig share: a kernel made ready, the project as built in its guest, and a
 * script run there.
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
  readonly timeoutSecs?: number;
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
  const kernels = process.env['VMIC_RIG_KERNELS']?.split(/[ ,]+/).filter(Boolean) ?? byDefault;
  describe(name, { skip: impossible }, () => {
    let staged: string;
    before(() => {
      staged = stage();
    });
    after(() => fs.rmSync(staged, { recursive: true, force: true }));
    for (const kernel of kernels) {
      describe(`kernel ${kernel}`, () => {
        let missing: string | undefined;
        before(() => {
          missing = setUp(kernel);
        });
        const passes: Guest['passes'] = (
          what,
          script,
          { args = [], rig: options = [], timeoutSecs = 900, skip = false } = {},
        ) =>
          it(what, { skip }, async (t) => {
            if (missing !== undefined) return t.skip(missing);
            const status = await runInRig([
              ...['--kernel', kernel, '--timeout', String(timeoutSecs)],
              ...['--copy', `${staged}:/opt/vmic`, '--copy', `${path.join(rig, 'kvp')}:/opt/kvp`],
              ...['--copy', `${path.join(rig, 'services')}:/opt/services`],
              ...options,
              ...[
                '--',
                script.endsWith('.sh') ? 'bash' : 'python3',
                `/opt/services/${script}`,
                ...args,
              ],
            ]);
            assert.equal(status, 0);
          });
        tests({ kernel, passes });
      });
    }
  });
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
function stage(): string {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'vmic-rig-'));
  for (const part of ['bin', 'systemd'])
    fs.cpSync(path.join(root, part), path.join(folder, part), { recursive: true });
  fs.mkdirSync(path.join(folder, 'build/Release'), { recursive: true });
  fs.copyFileSync(
    path.join(root, 'build/Release/vmic.node'),
    path.join(folder, 'build/Release/vmic.node'),
  );
  return folder;
}

/** Exit status of run.sh when the kernel itself complained or panicked. */
const KERNEL_COMPLAINT = 120;

/**
 * Runs something in a virtual machine (arguments of run.sh), its output shown line by line (from a
 * serial line it comes in crumbs); resolves to its exit status. A kernel that broke gets a second
 * try: hv_utils frees its char device while the last user's close is still at work
 * (hvutil_transport_destroy, drivers/hv/hv_utils_transport.c), which seldom ends in an oops
 * whatever the daemon does. What a daemon does wrong breaks it twice.
 */
export async function runInRig(args: readonly string[]): Promise<number | null> {
  const status = await runOnce(args);
  if (status !== KERNEL_COMPLAINT) return status;
  process.stdout.write('the kernel complained: a second try tells whether it does so every time\n');
  return runOnce(args);
}

async function runOnce(args: readonly string[]): Promise<number | null> {
  const child = spawn(path.join(rig, 'run.sh'), args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const closed = new Promise<number | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  for await (const line of readline.createInterface({ input: child.stdout }))
    process.stdout.write(`${line}\n`);
  return closed;
}
