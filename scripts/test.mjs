/**
 * Runs the checks and tests.
 *
 * usage: node scripts/test.mjs [--suite fast|slow|package|rig] [OPTION...] [FILE...]
 *   fast (default)  the checks (scripts/check.mjs), then test/**\/*.test.ts without those below
 *   slow            test/**\/*.slow.test.ts: kills and fuzzed messages
 *   package         test/**\/*.package.test.ts: builds packages, and uses what is in them
 *   rig             test/rig/ci.test.ts: real kernels in QEMU (root on Debian; installs what it
 *                   needs)
 *   --all           everything: slow repeats kills by the hundred and sends a million messages; rig
 *                   runs each test on each kernel (test/rig/**\/*.test.ts, test/**\/*.rig.test.ts),
 *                   in a guest of its own
 *   --times N       runs the tests N times, and stops after the first time that one fails
 *   --name PATTERN  just the tests with such a name (a regular expression), without the checks
 *   --watch         runs the tests again when a source changes, until Ctrl-C
 *   --unchecked     without the checks
 *   FILE...         just these test files, or those below these folders, without the checks
 */

import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, relative, resolve } from 'node:path';
import {
  capture,
  Failure,
  isDebian,
  isOnPath,
  isRoot,
  listFiles,
  parseArguments,
  root,
  run,
  runMain,
  say,
  UsageError,
} from './support.mjs';
import { runOnChange } from './watch.mjs';

const node = process.execPath;
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
    "most tests on kernels other than 6.12, KVP on demand, some units, the package's life from C " +
    'daemons to vmic and back, and some ends of a guest are left out',
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
      const { status, stderr, error } = spawnSync('apt-get', ['-q', 'download', 'hyperv-daemons'], {
        cwd: work,
        stdio: ['ignore', 'ignore', 'pipe'],
        encoding: 'utf8',
      });
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

/** Returns the test files that a word of the command line names. */
function testFilesIn(word) {
  const files = listFiles([relative(root, resolve(root, word))], (path) =>
    path.endsWith('.test.ts'),
  );
  if (files.length > 0) return files;
  throw new Failure(
    existsSync(resolve(root, word)) ? `${word}: no *.test.ts` : `${word}: there is no such file`,
  );
}

await runMain(() => {
  const { values, positionals } = parseArguments(import.meta.url, {
    suite: { type: 'string', default: 'fast' },
    all: { type: 'boolean', default: false },
    times: { type: 'string', default: '1' },
    name: { type: 'string', multiple: true, default: [] },
    watch: { type: 'boolean', default: false },
    unchecked: { type: 'boolean', default: false },
  });
  const accept = SUITES[values.suite];
  if (accept === undefined)
    throw new UsageError(`--suite ${values.suite}: there are ${Object.keys(SUITES).join(', ')}`);
  const times = Number(values.times);
  if (!Number.isInteger(times) || times < 1)
    throw new UsageError(`--times ${values.times}: expected a number from 1 on`);
  const files =
    positionals.length > 0
      ? positionals.flatMap(testFilesIn)
      : listFiles(['test'], (path) => path.endsWith('.test.ts') && accept(path, values.all));
  files.sort((a, b) => Number(b === LONGEST) - Number(a === LONGEST));
  if (files.length === 0) throw new Failure(`No test files in suite ${values.suite}`);

  const isPart = positionals.length > 0 || values.name.length > 0 || values.watch;
  if (!isPart && !values.unchecked && values.suite === 'fast') {
    run(process.execPath, ['scripts/check.mjs']);
  }
  if (values.suite !== 'rig') fetchCDaemons();

  // What is slow loads the machine by itself. By its own choice Node.js would leave a core idle,
  // which is half of a small machine.
  const lanes =
    { fast: availableParallelism(), rig: Math.min(availableParallelism(), MAX_MACHINES) }[
      values.suite
    ] ?? 1;
  const args = [
    ...['--import', 'tsx', `--test-concurrency=${lanes}`, '--test'],
    ...values.name.map((pattern) => `--test-name-pattern=${pattern}`),
    ...files,
  ];
  if (values.watch) {
    const start = () =>
      spawn('sh', ['-c', '"$0" scripts/build.mjs --quiet && exec "$0" "$@"', node, ...args], {
        cwd: root,
        stdio: 'inherit',
        detached: true,
      });
    return runOnChange(start, (path) => say(`\n${path} changed: running the tests again`));
  }
  const left = values.all || isPart ? undefined : LEFT_OUT[values.suite];
  const tellLeft = () =>
    left && say(`A part of the suite: ${left}. Everything: npm run test:${values.suite} -- --all`);
  tellLeft();
  const env = { ...process.env, ...(values.all ? { VMIC_TEST_ALL: '1' } : {}) };
  for (let time = 1; time <= times; time++) {
    if (times > 1) say(`\n=== time ${time} of ${times}`);
    const { status } = spawnSync(node, args, { cwd: root, stdio: 'inherit', env });
    if (status !== 0) return status ?? 1;
  }
  tellLeft();
  return 0;
});
