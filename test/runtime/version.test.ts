/** The version stands in package.json alone: a release changes one line. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { VERSION } from '../../runtime/version.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
/**
 * What is built or recorded, and what names versions because they are history. npm keeps the
 * version of package-lock.json itself.
 */
const LEFT_OUT = new Set([
  ...['node_modules', 'build', 'bin', 'lib', 'dist', 'fixtures'],
  ...['package.json', 'package-lock.json', 'CHANGELOG.md'],
]);

function* filesOf(folder: string): Generator<string> {
  for (const entry of fs.readdirSync(path.join(root, folder), { withFileTypes: true })) {
    const name = path.join(folder, entry.name);
    if (LEFT_OUT.has(name) || (entry.name.startsWith('.') && entry.name !== '.ci')) continue;
    if (entry.isDirectory()) yield* filesOf(name);
    else if (entry.isFile()) yield name;
  }
}

/** Lines of a text that hold the version, as a whole number of three parts. */
const linesWithVersion = (text: string): string[] => {
  const literal = new RegExp(`(?<![\\d.])${VERSION.replaceAll('.', '\\.')}(?![\\d.])`);
  return text.split('\n').filter((line) => literal.test(line));
};

test('no file but package.json holds the version', () => {
  const found = [...filesOf('')].flatMap((name) =>
    linesWithVersion(fs.readFileSync(path.join(root, name), 'utf8')).map(
      (line) => `${name}: ${line.trim()}`,
    ),
  );
  assert.deepEqual(found, []);
});

test('a line that holds it would be found', () => {
  assert.equal(linesWithVersion(`vmic_${VERSION}_amd64.deb\nno version`).length, 1);
  assert.deepEqual(linesWithVersion(`10.${VERSION}\n${VERSION}.7`), []);
});
