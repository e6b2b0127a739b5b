/**
 * Runs the measurements of bench/, one after the other; each goes on where another failed.
 *
 * usage: node scripts/bench.mjs [NAME...] [--quick] [--json]     default: all of them
 */
import { spawnSync } from 'node:child_process';
import { basename } from 'node:path';
import { listFiles, parseArguments, root, runMain, say, UsageError } from './support.mjs';

/** Shared by them, and no measurement itself. */
const HELPERS = ['driver'];

await runMain(() => {
  const all = listFiles(['bench'], (path) => path.endsWith('.ts'))
    .map((path) => basename(path, '.ts'))
    .filter((name) => !HELPERS.includes(name));
  const { values, positionals: names } = parseArguments(import.meta.url, {
    quick: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  });
  const options = ['quick', 'json'].filter((name) => values[name]).map((name) => `--${name}`);
  const unknown = names.find((name) => !all.includes(name));
  if (unknown !== undefined)
    throw new UsageError(`no measurement "${unknown}": there are ${all.join(', ')}`);
  let failed = 0;
  for (const name of names.length > 0 ? names : all) {
    say(`\n${name}`);
    const args = ['--import', 'tsx', `bench/${name}.ts`, ...options];
    if (spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' }).status !== 0) failed++;
  }
  return failed > 0 ? 1 : 0;
});
