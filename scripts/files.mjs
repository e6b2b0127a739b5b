/** Finds and parses the project's files for the checks. */

import { execFileSync } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { parseSync } from 'oxc-parser';
import { Failure } from './support.mjs';

/**
 * Returns the files that Git tracks or would track below `folder`, as sorted relative paths.
 * @param {string} folder
 * @returns {string[]}
 */
export function projectFiles(folder) {
  const list = execFileSync(
    'git',
    ['ls-files', '-z', '--cached', '--others', '--exclude-standard'],
    { cwd: folder, encoding: 'utf8' },
  );
  const isFile = (/** @type {string} */ path) =>
    statSync(join(folder, path), { throwIfNoEntry: false })?.isFile() === true;
  return [...new Set(list.split('\0'))].filter((path) => path !== '' && isFile(path)).sort();
}

/**
 * Returns the given files, or all files of the project when none are given.
 * @param {string} folder
 * @param {readonly string[]} given
 */
export const chosenFiles = (folder, given) => (given.length > 0 ? given : projectFiles(folder));

/** @param {string} path */
export const isScript = (path) => /\.(ts|mjs)$/.test(path);

/**
 * Returns the shebang line's program of a file without a known suffix: "sh", "bash" or undefined.
 * @param {string} text
 */
export const shellOf = (text) => /^#!(?:\/usr)?\/bin\/(?:env )?(sh|bash)\b/.exec(text)?.[1];

/**
 * Parses TypeScript or JavaScript. Throws a Failure for text that does not parse.
 * @param {string} folder
 * @param {string} path
 */
export function parseScript(folder, path) {
  const text = readFileSync(join(folder, path), 'utf8');
  const { program, errors } = parseSync(path, text);
  const [error] = errors;
  if (error !== undefined) throw new Failure(`${path}: ${error.message}`);
  return { text, program };
}

/**
 * Returns a function that maps an offset in `text` to its line, counted from 1.
 * @param {string} text
 */
export function lineFinder(text) {
  const starts = [0];
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) starts.push(at + 1);
  return (/** @type {number} */ offset) => {
    let low = 0;
    let high = starts.length;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (/** @type {number} */ (starts[middle]) <= offset) low = middle;
      else high = middle;
    }
    return low + 1;
  };
}
