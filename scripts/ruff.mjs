/**
 * Checks and formats the Python of this project with ruff, which npm delivers as WebAssembly. Reads
 * the settings from ruff.toml.
 *
 * usage: node scripts/ruff.mjs [--write] [FILE...]     default: all files, nothing is written
 *   --write   formats the files and sorts their imports
 */

import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { PositionEncoding, Workspace } from '@astral-sh/ruff-wasm-nodejs';
import { parse } from 'smol-toml';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const SKIPPED = ['node_modules', 'build', 'dist', 'lib'];

/** Python files below a folder, as paths relative to the project. */
function listPython(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) {
      return SKIPPED.includes(entry.name) || entry.name.startsWith('.') ? [] : listPython(path);
    }
    return entry.name.endsWith('.py') ? [relative(root, path)] : [];
  });
}

/** Sorts imports. Other fixes may change what a program does, so they are left to people. */
function sortImports(text) {
  const starts = [0];
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) starts.push(at + 1);
  const offset = ({ row, column }) => starts[row - 1] + column - 1;
  return workspace
    .check(text)
    .filter(({ code, fix }) => code === 'I001' && fix)
    .flatMap(({ fix }) => fix.edits)
    .sort((a, b) => offset(b.location) - offset(a.location))
    .reduce(
      (sorted, { location, end_location: end, content }) =>
        sorted.slice(0, offset(location)) + (content ?? '') + sorted.slice(offset(end)),
      text,
    );
}

const { values, positionals } = parseArgs({
  options: { write: { type: 'boolean', default: false } },
  allowPositionals: true,
});
const settings = parse(readFileSync(join(root, 'ruff.toml'), 'utf8'));
const workspace = new Workspace(settings, PositionEncoding.Utf16);
let problems = 0;
for (const file of positionals.length > 0 ? positionals : listPython(root).sort()) {
  const path = join(root, file);
  let text = readFileSync(path, 'utf8');
  if (values.write) {
    const fixed = workspace.format(sortImports(text));
    if (fixed !== text) writeFileSync(path, fixed);
    text = fixed;
  } else if (workspace.format(text) !== text) {
    process.stderr.write(`${file}: not formatted; "node scripts/ruff.mjs --write" formats it\n`);
    problems++;
  }
  for (const { code, message, start_location: at } of workspace.check(text)) {
    process.stderr.write(`${file}:${at.row}:${at.column}: ${code ?? 'syntax'} ${message}\n`);
    problems++;
  }
}
process.exitCode = problems > 0 ? 1 : 0;
