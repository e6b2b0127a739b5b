import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after } from 'node:test';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../..', import.meta.url));

const folder = mkdtempSync(join(tmpdir(), 'vmic-scripts-'));
after(() => rmSync(folder, { recursive: true, force: true }));

/** Writes files into a new folder, which goes when the tests are over. Returns its path. */
export function writeTree(files: ReadonlyMap<string, string>): string {
  const tree = mkdtempSync(join(folder, 'tree-'));
  for (const [path, content] of files) {
    mkdirSync(dirname(join(tree, path)), { recursive: true });
    writeFileSync(join(tree, path), content);
  }
  return tree;
}

/** Runs a script of scripts/ to its end. */
export const runScript = (name: string, ...args: readonly string[]): SpawnSyncReturns<string> =>
  spawnSync(process.execPath, [join(root, 'scripts', name), ...args], { encoding: 'utf8' });

/** Runs a check on a folder full of files. Returns its exit status and the lines that it prints. */
export function check(name: string, files: ReadonlyMap<string, string>, ...args: string[]) {
  const tree = writeTree(files);
  const { status, stderr } = runScript(name, '--root', tree, ...args, ...files.keys());
  return { status, stderr, lines: stderr.split('\n').filter((line) => line !== '') };
}
