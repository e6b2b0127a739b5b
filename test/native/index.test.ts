import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { it } from 'node:test';
import { buildSync } from 'esbuild';
import { ADDON } from './bundle.ts';
import { temporaryFolder } from './pairs.ts';

const INDEX = join(import.meta.dirname, '..', '..', 'native', 'index.ts');

/**
 * An executable as `npm run build` makes it: one CommonJS file, which prints what it could load.
 */
function executable(folder: string): string {
  const outfile = join(folder, 'tool.cjs');
  buildSync({
    stdin: {
      contents: `
        import { native } from ${JSON.stringify(INDEX)};
        console.log(typeof native.listen);`,
      resolveDir: folder,
    },
    outfile,
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'cjs',
    logLevel: 'silent',
  });
  return outfile;
}

function run(
  program: string,
  env: Record<string, string> = {},
): { status: number | null; stdout: string; stderr: string } {
  const { VMIC_ADDON: _, ...inherited } = process.env;
  return spawnSync(process.execPath, [program], {
    encoding: 'utf8',
    env: { ...inherited, ...env },
  });
}

it('a bundle finds the addon beside it, also when started through a link', (t) => {
  const folder = temporaryFolder(t);
  const program = executable(folder);
  copyFileSync(ADDON, join(folder, 'vmic.node'));
  const link = join(temporaryFolder(t), 'link.cjs');
  symlinkSync(program, link);
  for (const path of [program, link]) {
    const { status, stdout, stderr } = run(path);
    assert.deepEqual({ status, stdout, stderr }, { status: 0, stdout: 'function\n', stderr: '' });
  }
});

it('VMIC_ADDON names another place', (t) => {
  const ran = run(executable(temporaryFolder(t)), { VMIC_ADDON: ADDON });
  assert.equal(ran.stderr, '');
  assert.equal(ran.stdout, 'function\n');
});

it('says what to do when the addon is missing, or can not be loaded', (t) => {
  const folder = temporaryFolder(t);
  const program = executable(folder);
  const missing = run(program);
  assert.equal(missing.status, 1);
  const places =
    /The addon vmic\.node is missing \(looked for .*build\/Release\/vmic\.node, .*\): run /;
  assert.match(missing.stderr, places);
  assert.match(missing.stderr, /\): run `npm run build`/);

  writeFileSync(join(folder, 'vmic.node'), 'this is no shared object');
  const broken = run(program);
  assert.equal(broken.status, 1);
  assert.match(
    broken.stderr,
    /The addon .*vmic\.node can't be loaded by Node v.*: .*Run `npm run build`/,
  );
});
