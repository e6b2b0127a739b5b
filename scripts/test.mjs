/**
 * Runs the checks and tests.
 *
 * usage: node scripts/test.mjs [--suite fast|slow|package|rig] [FILE...]
 *   fast (default)  types, formatting, lint, then test/**\/*.test.ts without those below
 *   slow            test/**\/*.slow.test.ts: kills by the hundred, a million fuzzed messages
 *   package         test/**\/*.package.test.ts: builds packages, and uses what is in them
 *   rig             test/rig/**\/*.test.ts, test/**\/*.rig.test.ts: real kernels in QEMU (root on
 *                   Debian; installs what it needs)
 *   FILE...         just these test files, without the checks
 */

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import {
  capture,
  Failure,
  isDebian,
  isOnPath,
  isRoot,
  listFiles,
  root,
  run,
  runMain,
  say,
} from './support.mjs';

const isRig = (path) => path.startsWith('test/rig/') || path.endsWith('.rig.test.ts');
const isSlow = (path) => path.endsWith('.slow.test.ts');
const isPackage = (path) => path.endsWith('.package.test.ts');
const SUITES = {
  fast: (path) => !isRig(path) && !isSlow(path) && !isPackage(path),
  package: isPackage,
  slow: (path) => !isRig(path) && isSlow(path),
  rig: isRig,
};

/** Virtual machines at a time; each takes a core and a gigabyte. */
const MAX_MACHINES = 2;
/** Begun first, or the others would wait for it in the end. */
const LONGEST = 'test/rig/package/package.test.ts';

/**
 * Debian's C daemons, which ours are compared with: unpacked into .cache/hyperv-daemons, not
 * installed. Without them those tests skip and say so.
 */
function fetchCDaemons() {
  const cache = join(root, '.cache');
  const target = join(cache, 'hyperv-daemons');
  if (existsSync(target)) return;
  if (!isDebian || !isOnPath('dpkg-deb'))
    return say('Not on Debian: no C daemons to compare with.');
  mkdirSync(cache, { recursive: true });
  const work = mkdtempSync(join(cache, 'fetch-'));
  try {
    const download = () =>
      spawnSync('apt-get', ['-q', 'download', 'hyperv-daemons'], { cwd: work, stdio: 'ignore' });
    if (download().status !== 0 && isRoot) {
      capture('apt-get', ['-q', 'update']);
      download();
    }
    const deb = readdirSync(work).find((name) => name.endsWith('.deb'));
    if (deb === undefined)
      return say('apt-get download hyperv-daemons failed: no C daemons to compare with.');
    run('dpkg-deb', ['-x', join(work, deb), join(work, 'tree')], { hide: true });
    renameSync(join(work, 'tree'), target);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

await runMain(() => {
  const { values, positionals } = parseArgs({
    options: { suite: { type: 'string', default: 'fast' } },
    allowPositionals: true,
  });
  const accept = SUITES[values.suite];
  if (accept === undefined)
    throw new Failure(`--suite ${values.suite}: there are ${Object.keys(SUITES).join(', ')}`);
  const files =
    positionals.length > 0
      ? positionals
      : listFiles(['test'], (path) => path.endsWith('.test.ts') && accept(path));
  files.sort((a, b) => Number(b === LONGEST) - Number(a === LONGEST));
  if (files.length === 0) throw new Failure(`No test files in suite ${values.suite}`);

  if (positionals.length === 0 && values.suite === 'fast') {
    run(process.execPath, ['scripts/check.mjs']);
  }
  if (values.suite !== 'rig') fetchCDaemons();

  // What is slow loads the machine by itself. By its own choice Node.js would leave a core idle,
  // which is half of a small machine.
  const lanes =
    { fast: availableParallelism(), rig: Math.min(availableParallelism(), MAX_MACHINES) }[
      values.suite
    ] ?? 1;
  const concurrency = `--test-concurrency=${lanes}`;
  const result = spawnSync(process.execPath, ['--import', 'tsx', concurrency, '--test', ...files], {
    cwd: root,
    stdio: 'inherit',
  });
  return result.status ?? 1;
});
