/**
 * What the scripts of package.json run: set-up, build, then the program that was asked for.
 *
 * usage: node scripts/run.mjs TASK [ARG...]     a name of TASKS below
 *
 * Where Node.js is too old, as Debian 12's own, a newer one from the npm registry does the work;
 * nothing is installed outside this folder. This file and support.mjs therefore have to run with
 * Node.js 18.
 */

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { constants } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import {
  installDebianPackages,
  isOnPath,
  root,
  run,
  runMain,
  say,
  UsageError,
} from './support.mjs';

const MIN_NODE = [20, 19];
const DOWNLOADED_NODE = '^20.19.0';

const QUIETLY = [
  ['scripts/setup.mjs', '--quiet'],
  ['scripts/build.mjs', '--quiet'],
];
/**
 * Task -> the commands it consists of, each an argument list of Node's; further arguments go to the
 * last.
 */
const TASKS = {
  setup: [['scripts/setup.mjs']],
  build: [['scripts/setup.mjs'], ['scripts/build.mjs']],
  start: [...QUIETLY, ['bin/vmic', 'simulate']],
  check: [['scripts/setup.mjs', '--quiet'], ['scripts/check.mjs']],
  test: [...QUIETLY, ['scripts/test.mjs']],
  dev: [['scripts/setup.mjs', '--quiet'], ['scripts/dev.mjs']],
  coverage: [...QUIETLY, ['scripts/coverage.mjs']],
  bench: [...QUIETLY, ['scripts/bench.mjs']],
  deb: [...QUIETLY, ['packaging/deb.mjs']],
  rpm: [...QUIETLY, ['packaging/rpm.mjs']],
  tree: [...QUIETLY, ['packaging/tree.mjs']],
  npm: [...QUIETLY, ['packaging/npm.mjs']],
};

/** @param {number[]} version */
const isNewEnough = ([major, minor]) =>
  major > MIN_NODE[0] || (major === MIN_NODE[0] && minor >= MIN_NODE[1]);

/**
 * The Node.js to use: this one, or else one of the npm registry (which brings its C++ headers
 * along).
 */
function findNode() {
  if (isNewEnough(process.versions.node.split('.').map(Number))) return process.execPath;
  const name = `node-linux-${process.arch}`;
  const prefix = join(root, '.cache/node');
  const node = join(prefix, 'node_modules', name, 'bin/node');
  if (!existsSync(node)) {
    say(
      `Node.js ${process.version} is too old: getting a newer one from the npm registry, for ` +
        'this folder only',
    );
    if (!isOnPath('npm')) installDebianPackages(['npm'], 'npm is missing');
    run(
      'npm',
      [
        'install',
        '--prefix',
        prefix,
        '--no-save',
        '--ignore-scripts',
        '--no-audit',
        '--no-fund',
        `${name}@${DOWNLOADED_NODE}`,
      ],
      {
        hide: true,
      },
    );
  }
  return node;
}

/** Runs one command to its end. Ctrl-C reaches it by itself; we wait until it has cleaned up. */
function runStep(node, args) {
  return new Promise((resolve, reject) => {
    const PATH = [dirname(node), process.env.PATH].join(delimiter);
    const child = spawn(node, args, { cwd: root, stdio: 'inherit', env: { ...process.env, PATH } });
    const forward = (signal) => child.kill(signal);
    const ignore = () => {};
    process.on('SIGINT', ignore).on('SIGTERM', forward).on('SIGHUP', forward);
    child.on('error', reject);
    child.on('exit', (code, signal) => {
      process.off('SIGINT', ignore).off('SIGTERM', forward).off('SIGHUP', forward);
      resolve(code ?? 128 + constants.signals[signal ?? 'SIGKILL']);
    });
  });
}

await runMain(async () => {
  const [task, ...args] = process.argv.slice(2);
  const steps = TASKS[task];
  if (steps === undefined)
    throw new UsageError(`usage: node scripts/run.mjs ${Object.keys(TASKS).join('|')} [ARG...]`);
  const node = findNode();
  for (const [i, step] of steps.entries()) {
    const status = await runStep(node, i === steps.length - 1 ? [...step, ...args] : step);
    if (status !== 0) return status;
  }
  return 0;
});
