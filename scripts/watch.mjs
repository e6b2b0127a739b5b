/** Waits for changes of the sources, for the scripts that run something again. */

import { existsSync, watch } from 'node:fs';
import { join } from 'node:path';
import { root } from './support.mjs';

const FOLDERS = [
  'protocol',
  'native',
  'runtime',
  'daemons',
  'cli',
  'simulator',
  'test',
  'fixtures',
  'scripts',
];
/** Editors write a file in several steps. */
const QUIET_MS = 200;

/**
 * Calls `onChange` after each change of the sources, once for changes in quick succession.
 * @param {(path: string) => void} onChange gets the path of one changed file
 * @returns a function that ends it
 */
export function watchSources(onChange) {
  let timer;
  const watchers = FOLDERS.filter((folder) => existsSync(join(root, folder))).map((folder) =>
    watch(join(root, folder), { recursive: true }, (_, name) => {
      if (name === null || !/\.(ts|mjs|cjs|json|trace|cpp|h)$/.test(name)) return;
      clearTimeout(timer);
      timer = setTimeout(() => onChange(join(folder, name)), QUIET_MS);
    }),
  );
  return () => {
    clearTimeout(timer);
    for (const watcher of watchers) watcher.close();
  };
}

/**
 * Runs `start` again and again: after each change of the sources, until Ctrl-C or SIGTERM. What it
 * started is stopped first.
 * @param {() => import('node:child_process').ChildProcess} start
 * @param {(path: string) => void} onRestart
 * @param {{ againMs?: number }} [options] againMs: also when the process has ended by itself
 */
export async function runOnChange(start, onRestart, { againMs } = {}) {
  let changed;
  let ended = false;
  let wake = () => {};
  const stop = watchSources((path) => {
    changed = path;
    wake();
  });
  const interrupt = () => {
    ended = true;
    wake();
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, interrupt);
  while (!ended) {
    changed = undefined;
    const child = start();
    const closed = new Promise((resolve) => child.once('close', resolve));
    const woken = new Promise((resolve) => {
      wake = () => resolve(undefined);
      if (againMs !== undefined) closed.then(() => setTimeout(wake, againMs));
    });
    await woken;
    // A process of its own group: Ctrl-C came to us alone.
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGINT');
    await closed;
    if (!ended && changed !== undefined) onRestart(changed);
  }
  stop();
}
