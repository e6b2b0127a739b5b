/**
 * KVP on real kernels: the daemon as built, in a virtual machine whose VMBus has a pretended host behind it (README.md here).
 * VMIC_RIG_KERNELS names the kernels; the default is all three.
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
const kernels = (process.env['VMIC_RIG_KERNELS'] ?? '6.12 7.2 6.1').split(/[ ,]+/).filter(Boolean);

/** What a guest needs of the project: the bundles and the addon beside them. */
function stage(): string {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'vmic-rig-'));
  fs.cpSync(path.join(root, 'bin'), path.join(folder, 'bin'), { recursive: true });
  fs.mkdirSync(path.join(folder, 'build/Release'), { recursive: true });
  fs.copyFileSync(path.join(root, 'build/Release/vmic.node'), path.join(folder, 'build/Release/vmic.node'));
  return folder;
}

/** Runs a program, its output shown line by line (from a serial line it comes in crumbs); resolves to its exit status. */
async function run(program: string, args: readonly string[]): Promise<number | null> {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const closed = new Promise<number | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  for await (const line of readline.createInterface({ input: child.stdout })) process.stdout.write(`${line}\n`);
  return closed;
}

const impossible =
  process.arch !== 'x64' || !fs.existsSync('/etc/debian_version')
    ? 'the rig needs Debian on amd64'
    : process.getuid?.() !== 0
      ? 'the rig needs root'
      : false;

describe('kvp in the rig', { skip: impossible }, () => {
  let staged: string;
  before(() => {
    staged = stage();
  });
  after(() => fs.rmSync(staged, { recursive: true, force: true }));

  for (const kernel of kernels) {
    describe(`kernel ${kernel}`, () => {
      let missing: string | undefined;
      before(() => {
        const setup = spawnSync(path.join(rig, 'setup.sh'), [kernel], { encoding: 'utf8' });
        process.stderr.write(setup.stdout);
        // Debian's sid moves on: a kernel that is no longer there can't be tested, any other failure is one
        if (setup.status !== 0 && /cloud kernel \(any more\)/.test(setup.stderr)) missing = setup.stderr.trim();
        else assert.equal(setup.status, 0, setup.stderr);
      });
      const inGuest = (script: string, timeoutSecs: number) =>
        run(path.join(rig, 'run.sh'), [
          ...['--kernel', kernel, '--timeout', String(timeoutSecs)],
          ...['--copy', `${staged}:/opt/vmic`, '--copy', `${path.join(rig, 'kvp')}:/opt/kvp`],
          ...['--', 'python3', `/opt/kvp/${script}`],
        ]);

      it('hv_utils over /dev/vmbus/hv_kvp', async (t) => {
        if (missing !== undefined) return t.skip(missing);
        assert.equal(await inGuest('chardev.py', 900), 0);
      });
      it('channel bound to uio_hv_generic', {
        skip: kernel === '6.1' && 'uio_hv_generic of 6.1 refuses channels without a monitor page (error 524)',
      }, async (t) => {
        if (missing !== undefined) return t.skip(missing);
        assert.equal(await inGuest('uio.py', 600), 0);
      });
    });
  }
});
