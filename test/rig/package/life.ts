/**
 * The whole system: a Debian 13, from Debian's C daemons to vmic's package and back, on one disk
 * through several boots (system.sh; README.md one folder up).
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { HANGING_SECS, runInRig } from '../vm.ts';

const root = path.join(import.meta.dirname, '../../..');
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

export interface LifeOptions {
  /** Also the flavour with its own Node.js, which takes its time to unpack. */
  readonly bundled?: boolean;
}

/** The packages, built once, and guests in which they live. */
export class PackageLife {
  readonly #folder = fs.mkdtempSync(path.join(os.tmpdir(), 'vmic-system-'));
  readonly #packages = path.join(this.#folder, 'packages');
  readonly #bundled = path.join(this.#folder, 'vmic-bundled-node.deb');

  constructor({ bundled = false } = {}) {
    fs.mkdirSync(this.#packages);
    makePackage('vmic', project.version, path.join(this.#packages, 'vmic.deb'));
    makePackage('vmic', `${project.version}+next`, path.join(this.#packages, 'vmic-next.deb'));
    if (bundled) makePackage('vmic-bundled-node', `${project.version}+rig`, this.#bundled);
  }

  remove(): void {
    fs.rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Lives through all phases on one kernel; throws when one of them fails. */
  async live(kernel: string, { bundled = false }: LifeOptions = {}): Promise<void> {
    const copy = path.join(this.#folder, kernel);
    fs.cpSync(this.#packages, copy, { recursive: true });
    for (const script of ['system.sh', 'vss-fcopy.sh', '../services/common.sh'])
      fs.copyFileSync(
        path.join(import.meta.dirname, script),
        path.join(copy, path.basename(script)),
      );
    if (bundled) fs.copyFileSync(this.#bundled, path.join(copy, 'vmic-bundled-node.deb'));
    run(path.join(import.meta.dirname, 'c-daemons.sh'), [
      kernel,
      path.join(copy, 'hyperv-daemons.deb'),
    ]);
    const disk = path.join(this.#folder, `${kernel}.qcow2`);
    const boot = (phase: string, end: 'reboot' | 'poweroff') =>
      runInRig([
        ...[
          '--kernel',
          kernel,
          '--systemd',
          '--as-hyperv',
          '--keep',
          disk,
          '--timeout',
          String(HANGING_SECS),
        ],
        ...['--expect', end, '--expect-wait', '600', '--copy', `${copy}:/opt/package`],
        ...['--', 'bash', '/opt/package/system.sh', phase],
      ]);
    for (const phase of ['c-daemons', 'replace', 'use'])
      assert.equal(await boot(phase, 'reboot'), 0, phase);
    assert.equal(await boot('shutdown', 'poweroff'), 0, 'shutdown');
    fs.rmSync(disk);
  }
}
