/**
 * Refuses lines of more than 100 characters in code, comments, Markdown, units, man pages and
 * scripts. A line may be longer when nothing in it could go to the next one: a single word such as
 * a URL, a row of a Markdown table, a Markdown link definition.
 *
 * usage: node scripts/check-columns.mjs [--root FOLDER] [FILE...]     default: all files
 */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { chosenFiles } from './files.mjs';
import { parseArguments, root, runMain, say } from './support.mjs';

const MAX_COLUMNS = 100;
/** Data that programs write and read. */
const DATA = /\.(json|csv|trace|mountinfo|sha256)$/;
/** Begins a comment, a list item, a quotation, a request of roff or the value of a key. */
const MARKER = /^(\/\/+|\/\*+|\*|#+|[-+>]|\d+\.|\.\\"|\.[A-Z]{1,2}|[\w-]+:)$/;
const TABLE_OR_LINK = /^\s*(\||\[[^\]]+\]: )/;

/** C has the kernel's tabs of eight columns, all else has tabs of four (.editorconfig). */
const WIDE_TABS = /\.[ch]$/;

/**
 * Counts code points, not UTF-16 units.
 * @param {string} path
 * @param {string} line
 */
const columnsOf = (path, line) =>
  [...line.replaceAll('\t', ' '.repeat(WIDE_TABS.test(path) ? 8 : 4))].length;

/**
 * @param {string} path
 * @param {string} line
 */
function isTooLong(path, line) {
  if (columnsOf(path, line) <= MAX_COLUMNS) return false;
  if (path.endsWith('.md') && TABLE_OR_LINK.test(line)) return false;
  const words = line.trim().split(/\s+/);
  while (MARKER.test(words[0] ?? '')) words.shift();
  return words.length > 1;
}

await runMain(() => {
  const { values, positionals } = parseArguments(import.meta.url, {
    root: { type: 'string', default: root },
  });
  let problems = 0;
  for (const path of chosenFiles(values.root, positionals).filter((name) => !DATA.test(name))) {
    const text = readFileSync(join(values.root, path), 'utf8');
    if (text.includes('\0')) continue;
    for (const [i, line] of text.split('\n').entries()) {
      if (!isTooLong(path, line)) continue;
      say(`${path}:${i + 1}: ${columnsOf(path, line)} columns, at most ${MAX_COLUMNS}`);
      problems++;
    }
  }
  return problems > 0 ? 1 : 0;
});
