/**
 * Lints the C++ of native/ with clang-tidy and the settings in .clang-tidy, as many files at a time
 * as there are cores.
 *
 * usage: node scripts/clang-tidy.mjs [FILE...]     default: native/**\/*.cpp
 */

import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { join, relative } from 'node:path';
import { Failure, isOnPath, listFiles, parseArguments, root, runMain, say } from './support.mjs';

/** Returns what binding.gyp says to the compiler. */
function compilerFlags() {
  const configuration = readFileSync(join(root, 'build/config.gypi'), 'utf8');
  const nodeDir = /"nodedir": "([^"]+)"/.exec(configuration)?.[1];
  if (nodeDir === undefined) throw new Failure('build/config.gypi has no nodedir: npm run setup');
  const addonApi = createRequire(import.meta.url).resolve('node-addon-api/package.json');
  return [
    ...['-std=c++17', '-Inative'],
    ...['-isystem', relative(root, join(addonApi, '..'))],
    ...['-isystem', join(nodeDir, 'include/node')],
    ...['-DNAPI_VERSION=8', '-DNAPI_DISABLE_CPP_EXCEPTIONS'],
  ];
}

/** Returns what clang-tidy says about a file; an empty text when there is nothing to say. */
function tidy(file, flags) {
  return new Promise((resolve, reject) => {
    const child = spawn('clang-tidy', ['--quiet', file, '--', ...flags], {
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    let errors = '';
    child.stdout.setEncoding('utf8').on('data', (chunk) => (output += chunk));
    child.stderr.setEncoding('utf8').on('data', (chunk) => (errors += chunk));
    child.on('error', reject);
    child.on('close', (status) => resolve(status === 0 ? '' : output || errors));
  });
}

await runMain(async () => {
  const { positionals } = parseArguments(import.meta.url);
  if (!isOnPath('clang-tidy')) {
    say('skipped: clang-tidy is not installed');
    return 0;
  }
  const all = listFiles(['native'], (path) => path.endsWith('.cpp'));
  const files = positionals.length > 0 ? [...positionals] : all;
  const flags = compilerFlags();
  let failed = 0;
  const lane = async () => {
    for (let file = files.shift(); file !== undefined; file = files.shift()) {
      const output = await tidy(file, flags);
      if (output === '') continue;
      say(output.trimEnd());
      failed++;
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, lane));
  return failed > 0 ? 1 : 0;
});
