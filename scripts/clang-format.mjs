/**
 * Checks and formats the C and C++ of this project with clang-format, which npm delivers as
 * WebAssembly: everybody has the same version. Reads the nearest .clang-format.
 *
 * usage: node scripts/clang-format.mjs [--write] [FILE...]     default: all files, only checked
 */

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { format } from '@wasm-fmt/clang-format/node';
import { chosenFiles } from './files.mjs';
import { parseArguments, root, runMain, say } from './support.mjs';

/** Returns the settings for the files of a folder. */
function styleFor(folder) {
  const path = join(root, folder, '.clang-format');
  return existsSync(path) ? readFileSync(path, 'utf8') : styleFor(dirname(folder));
}

await runMain(() => {
  const { values, positionals } = parseArguments(import.meta.url, { write: { type: 'boolean' } });
  let problems = 0;
  for (const file of chosenFiles(root, positionals)) {
    if (!/\.(c|cpp|h)$/.test(file)) continue;
    const path = join(root, file);
    const text = readFileSync(path, 'utf8');
    const formatted = format(text, file, styleFor(dirname(file)));
    if (formatted === text) continue;
    if (values.write) {
      writeFileSync(path, formatted);
      continue;
    }
    const lines = text.split('\n');
    const at = formatted.split('\n').findIndex((line, i) => line !== lines[i]);
    say(`${file}:${at + 1}: not formatted; "npm run format" formats it`);
    problems++;
  }
  return problems > 0 ? 1 : 0;
});
