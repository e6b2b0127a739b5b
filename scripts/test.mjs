/**
 * Runs the checks and tests.
 *
 * usage: node scripts/test.mjs [--suite fast|slow|package|rig] [--all] [--times N] [FILE...]
 *   fast (default)  types, formatting, lint, then test/**\/*.test.ts without those below
 *   slow            test/**\/*.slow.test.ts: kills and fuzzed messages
 *   package         test/**\/*.package.test.ts: builds packages, and uses what is in them
 *   rig             test/rig/ci.test.ts: real kernels in QEMU (root on Debian; installs what it needs)
 *   --all           everything: slow repeats kills by the hundred and sends a million messages; rig runs each test on
 *                   each kernel (test/rig/**\/*.test.ts, test/**\/*.rig.test.ts), in a guest of its own
 *   --times N       runs the tests N times, and stops after the first time that one fails
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

/** The part of the rig that CI runs. The other files hold the same tests, each on each kernel. */
const RIG_PART = 'test/rig/ci.test.ts';
const isRig = (path) => path.startsWith('test/rig/') || path.endsWith('.rig.test.ts');
const isSlow = (path) => path.endsWith('.slow.test.ts');
const isPackage = (path) => path.endsWith('.package.test.ts');
const SUITES = {
  fast: (path) => !isRig(path) && !isSlow(path) && !isPackage(path),
  package: isPackage,
  slow: (path) => !isRig(path) && isSlow(path),
  rig: (path, all) => isRig(path) && (path === RIG_PART) !== all,
};
/** Suites of which only a part runs without --all, and what that leaves out. */
const LEFT_OUT = {
  slow: 'most repetitions of the kills, the races and the fuzzed messages are left out',
  rig:
    'most tests on kernels other than 6.12, the package with its own Node.js, and some ends ' +
    'of ' +
    'a guest are left out',
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
    let errors = '';
    const download = () => {
      const options = { cwd: work, stdio: ['ignore', 'ignore', 'pipe'], encoding: 'utf8' };
      const { status, stderr, error } = spawnSync(
        'apt-get',
        ['-q', 'download', 'hyperv-daemons'],
        options,
      );
      errors = error?.message ?? stderr;
      return status === 0;
    };
    if (!download() && isRoot) {
      capture('apt-get', ['-q', 'update']);
      download();
    }
    const deb = readdirSync(work).find((name) => name.endsWith('.deb'));
    if (deb === undefined) {
      return say(
        `apt-get download hyperv-daemons failed: no C daemons to compare with.\n${errors.trim()}`,
      );
    }
    run('dpkg-deb', ['-x', join(work, deb), join(work, 'tree')], { hide: true });
    renameSync(join(work, 'tree'), target);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

await runMain(() => {
  const { values, positionals } = parseArgs({
    options: {
      suite: { type: 'string', default: 'fast' },
      all: { type: 'boolean', default: false },
      times: { type: 'string', default: '1' },
    },
    allowPositionals: true,
  });
  const accept = SUITES[values.suite];
  const times = Number(values.times);
  if (!Number.isInteger(times) || times < 1)
    throw new Failure(`--times ${values.times}: want a number from 1 on`);
  if (accept === undefined)
    throw new Failure(`--suite ${values.suite}: there are ${Object.keys(SUITES).join(', ')}`);
  const files =
    positionals.length > 0
      ? positionals
      : listFiles(['test'], (path) => path.endsWith('.test.ts') && accept(path, values.all));
  files.sort((a, b) => Number(b === LONGEST) - Number(a === LONGEST));
  if (files.length === 0) throw new Failure(`No test files in suite ${values.suite}`);

  if (positionals.length === 0 && values.suite === 'fast') {
    run('node_modules/.bin/tsc', ['--noEmit']);
    run('node_modules/.bin/biome', ['check', '--error-on-warnings', '.']);
  }
  if (values.suite !== 'rig') fetchCDaemons();

  // What is slow loads the machine by itself. By its own choice Node.js would leave a core idle,
  // which is half of a small machine.
  const lanes =
    { fast: availableParallelism(), rig: Math.min(availableParallelism(), MAX_MACHINES) }[
      values.suite
    ] ?? 1;
  const concurrency = `--test-concurrency=${lanes}`;
  const left = values.all || positionals.length > 0 ? undefined : LEFT_OUT[values.suite];
  const tellLeft = () =>
    left && say(`A part of the suite: ${left}. Everything: npm run test:${values.suite} -- --all`);
  tellLeft();
  for (let time = 1; time <= times; time++) {
    if (times > 1) say(`\n=== time ${time} of ${times}`);
    const { status } = spawnSync(
      process.execPath,
      ['--import', 'tsx', concurrency, '--test', ...files],
      {
        cwd: root,
        stdio: 'inherit',
        env: { ...process.env, ...(values.all ? { VMIC_TEST_ALL: '1' } : {}) },
      },
    );
    if (status !== 0) return status ?? 1;
  }
  tellLeft();
  return 0;
});
