import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { build } from 'esbuild';
import { root, runScript, writeTree } from './tree.ts';

const THROWING = `\
export interface Reason {
  readonly text: string;
}

export function fail(reason: Reason): never {
  throw new Error(reason.text);
}
`;
const MAIN = `\
import { fail } from './throwing.ts';

fail({ text: 'it broke' });
`;

/** Bundles a program that throws, as scripts/build.mjs does. Returns its folder and its stack. */
async function breakBundle(): Promise<{ folder: string; stack: string }> {
  const folder = writeTree(
    new Map([
      ['src/throwing.ts', THROWING],
      ['src/main.ts', MAIN],
    ]),
  );
  await build({
    absWorkingDir: folder,
    entryPoints: [{ in: 'src/main.ts', out: 'broken' }],
    outdir: 'bin',
    outExtension: { '.js': '.cjs' },
    bundle: true,
    platform: 'node',
    format: 'cjs',
    minifySyntax: true,
    minifyWhitespace: true,
    sourcemap: 'external',
    sourcesContent: false,
    banner: { js: '#!/usr/bin/env node\n' },
  });
  const program = join(folder, 'bin/broken.cjs');
  const { stderr } = spawnSync(process.execPath, [program], { encoding: 'utf8' });
  assert.match(stderr, /at fail \(.*broken\.cjs:\d+:\d+\)/);
  return { folder: join(folder, 'bin'), stack: stderr };
}

test('a stack of a bundle names source files and lines once it is explained', async () => {
  const { folder, stack } = await breakBundle();
  const file = join(folder, 'stack.txt');
  writeFileSync(file, stack);
  const { status, stdout, stderr } = runScript('explain-stack.mjs', '--maps', folder, file);
  assert.equal(stderr, '');
  assert.equal(status, 0);
  assert.match(stdout, /Error: it broke\n {4}at fail \(src\/throwing\.ts:6:9\)\n/);
  assert.match(stdout, /\n {4}at .*src\/main\.ts:3:1\b/);
  // Positions in Node.js itself stay.
  assert.match(stdout, /node:internal\/modules/);
});

test('a log line with a stack is explained from standard input', async () => {
  const { folder, stack } = await breakBundle();
  const { status, stdout } = spawnSync(
    process.execPath,
    [join(root, 'scripts/explain-stack.mjs'), '--maps', folder],
    { input: `${JSON.stringify({ level: 'critical', message: stack })}\n`, encoding: 'utf8' },
  );
  assert.equal(status, 0);
  assert.match(stdout, /\n {4}at fail \(src\/throwing\.ts:6:9\)\n/);
});

test('a stack without a map is refused', async () => {
  const { folder, stack } = await breakBundle();
  const file = join(folder, 'stack.txt');
  writeFileSync(file, stack);
  const { status, stdout, stderr } = runScript('explain-stack.mjs', '--maps', '/nowhere', file);
  assert.equal(stdout, stack);
  assert.match(stderr, /No position in it belongs to a program with a map in \/nowhere/);
  assert.equal(status, 1);
});

test('each built program has a map beside it, and does not name it', () => {
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  assert.ok(scripts['explain-stack']);
  for (const program of ['vmic', 'vmic-kvp', 'vmic-vss']) {
    assert.ok(existsSync(join(root, `bin/${program}.map`)), program);
    const text = readFileSync(join(root, 'bin', program), 'utf8');
    assert.doesNotMatch(text, /sourceMappingURL/, program);
  }
});
