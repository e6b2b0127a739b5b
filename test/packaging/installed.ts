import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { native } from '../../native/index.ts';
import { Ask, PRETENCE, succeeded, VssStage, vssSettings } from '../../simulator/hosts/vss-host.ts';

/** Gives the command that runs a program of an installation. */
export type Installed = (program: string) => readonly string[];

/** The installation whose programs lie in a folder, run by this Node.js or another one. */
export const installedIn =
  (folder: string, node: string = process.execPath): Installed =>
  (program) => [node, path.join(folder, program)];

/** What this test process sets for itself must not help the installation to its addon. */
function withoutOverride(): NodeJS.ProcessEnv {
  const { VMIC_ADDON: _, ...env } = process.env;
  return env;
}

/** The command of an installation loads its addon, which pools take. */
export function loadsAddon(installed: Installed): void {
  const pools = fs.mkdtempSync(path.join(os.tmpdir(), 'vmic-pools-'));
  const [node, ...program] = installed('vmic');
  const vmic = (...args: string[]) => {
    const { status, stdout, stderr, error } = spawnSync(
      node!,
      [...program, 'kvp', ...args, '--pool-directory', pools],
      { encoding: 'utf8', env: withoutOverride() },
    );
    return { status, stdout, stderr, error };
  };
  try {
    const silent = { status: 0, stderr: '', error: undefined };
    assert.deepEqual(vmic('set', 'Ready', 'yes'), { ...silent, stdout: '' });
    assert.deepEqual(vmic('get', 'Ready'), { ...silent, stdout: 'yes\n' });
  } finally {
    fs.rmSync(pools, { recursive: true });
  }
}

/**
 * The VSS daemon of an installation starts its guard when a simulated host asks for a freeze. No
 * file system is frozen: the configuration names one that does not exist.
 */
export async function startsGuard(installed: Installed): Promise<void> {
  const stage = await VssStage.open('unix-ring', {
    native,
    settings: (ground) => vssSettings(ground, true),
    place: {
      // Of the command for the daemon of this tree only the options stay
      enter: ([, , ...options]) => [...installed('vmic-vss'), ...options],
      shared: PRETENCE.shared,
    },
  });
  try {
    succeeded('freeze', await stage.ask(Ask.freeze));
    succeeded('thaw', await stage.ask(Ask.thaw));
  } finally {
    await stage.close();
  }
}
