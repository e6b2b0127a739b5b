/** The form of the man pages. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

const folder = fileURLToPath(new URL('../../packaging/man', import.meta.url));

/** In the order of man-pages(7) and mdoc(7). */
const SECTIONS = [
  'NAME',
  'SYNOPSIS',
  'DESCRIPTION',
  'OPTIONS',
  'ENVIRONMENT',
  'FILES',
  'EXIT STATUS',
  'EXAMPLES',
  'SEE ALSO',
];
/** What may be left out, by the section of the manual: formats and overviews have no options. */
const OPTIONAL: Readonly<Record<string, readonly string[]>> = {
  1: ['ENVIRONMENT'],
  5: ['OPTIONS', 'ENVIRONMENT', 'FILES', 'EXIT STATUS'],
  7: ['OPTIONS'],
  8: ['ENVIRONMENT'],
};

describe('man pages', () => {
  for (const name of fs.readdirSync(folder)) {
    const page = fs.readFileSync(path.join(folder, name), 'utf8');
    const optional = OPTIONAL[name.at(-1)!]!;

    it(`${name} has the sections of its kind, in their order`, () => {
      const found = [...page.matchAll(/^\.Sh (.+)$/gm)].map(([, title]) => title!);
      const wanted = SECTIONS.filter((title) => found.includes(title) || !optional.includes(title));
      assert.deepEqual(found, wanted);
    });

    it(`${name} gets its date and version from the build`, () => {
      assert.match(page, /^\.Dd \$Mdocdate\$$/m);
      assert.match(page, /^\.Os \$Version\$$/m);
      assert.doesNotMatch(page, /\b\d+\.\d+\.\d+\b/);
    });
  }
});
