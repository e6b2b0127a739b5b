/**
 * The whole system: a Debian 13 on each kernel, from Debian's C daemons to vmic's package and back,
 * on one disk through several boots (system.sh; README.md one folder up).
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { impossible, runInRig, setUp } from '../vm.ts';

const root = path.join(import.meta.dirname, '../../..');
const kernels = (process.env['VMIC_RIG_KERNELS'] ?? '6.12 7.2 6.1').split(/[ ,]+/).filter(Boolean);
const project = JSON.parse(fs.readFileSync(path.join(root, 'package.json'), 'utf8')) as {
  version: string;
};

function run(
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): void {
  const { status } = spawnSync(program, args, {
    cwd: root,
    stdio: ['ignore', 2, 2],
    env: { ...process.env, ...env },
  });
  assert.equal(status, 0, `${program} ${args.join(' ')}`);
}

/** Builds a package and moves it where the guest will find it. */
function makePackage(flavour: string, version: string, file: string): void {
  const env = { VMIC_PACKAGE_VERSION: version };
  run(process.execPath, ['packaging/deb.mjs', '--arch', 'amd64', '--flavour', flavour], env);
  fs.renameSync(path.join(root, 'dist', `${flavour}_${version}_amd64.deb`), file);
}

describe('the package in the rig', { skip: impossible }, () => {
  let folder: string;
  before(() => {
    folder = fs.mkdtempSync(path.join(os.tmpdir(), 'vmic-system-'));
    const packages = path.join(folder, 'packages');
    fs.mkdirSync(packages);
    makePackage('vmic', project.version, path.join(packages, 'vmic.deb'));
    makePackage('vmic', `${project.version}+next`, path.join(packages, 'vmic-next.deb'));
    makePackage(
      'vmic-bundled-node',
      `${project.version}+rig`,
      path.join(folder, 'vmic-bundled-node.deb'),
    );
  });
  after(() => fs.rmSync(folder, { recursive: true, force: true }));

  for (const kernel of kernels) {
    it(`from the C daemons to vmic and back, kernel ${kernel}`, async (t) => {
      const missing = setUp(kernel);
      if (missing !== undefined) return t.skip(missing);
      const copy = path.join(folder, kernel);
      fs.cpSync(path.join(folder, 'packages'), copy, { recursive: true });
      for (const script of ['system.sh', 'vss-fcopy.sh'])
        fs.copyFileSync(path.join(import.meta.dirname, script), path.join(copy, script));
      // It is the same on each kernel, and takes its time to unpack
      if (kernel === '6.12')
        fs.copyFileSync(
          path.join(folder, 'vmic-bundled-node.deb'),
          path.join(copy, 'vmic-bundled-node.deb'),
        );
      run(path.join(import.meta.dirname, 'c-daemons.sh'), [
        kernel,
        path.join(copy, 'hyperv-daemons.deb'),
      ]);
      const disk = path.join(folder, `${kernel}.qcow2`);
      const boot = (phase: string, end: 'reboot' | 'poweroff') =>
        runInRig([
          ...['--kernel', kernel, '--systemd', '--as-hyperv', '--keep', disk, '--timeout', '1800'],
          ...['--expect', end, '--expect-wait', '120', '--copy', `${copy}:/opt/package`],
          ...['--', 'bash', '/opt/package/system.sh', phase],
        ]);
      for (const phase of ['c-daemons', 'replace', 'use'])
        assert.equal(await boot(phase, 'reboot'), 0, phase);
      assert.equal(await boot('shutdown', 'poweroff'), 0, 'shutdown');
      fs.rmSync(disk);
    });
  }
});
