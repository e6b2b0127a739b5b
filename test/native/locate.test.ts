import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { findBundle, locateAddon, locateBundle, locateProgram } from '../../native/locate.ts';
import { temporaryFolder } from './pairs.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const PREBUILT = `lib/prebuilt/${process.arch}`;

interface Layout {
  readonly way: string;
  /** The folder of the code that runs. */
  readonly code: string;
  readonly compiled: string;
  readonly bundles: string;
}
const LAYOUTS: readonly Layout[] = [
  { way: 'source tree', code: 'native', compiled: 'build/Release', bundles: 'bin' },
  { way: 'bundle in a clone', code: 'bin', compiled: 'build/Release', bundles: 'bin' },
  {
    way: 'deb, rpm and tree',
    code: 'usr/lib/vmic',
    compiled: 'usr/lib/vmic',
    bundles: 'usr/lib/vmic',
  },
  { way: 'bundle of npm', code: 'lib/bin', compiled: PREBUILT, bundles: 'lib/bin' },
  { way: 'library of npm', code: 'lib/native', compiled: PREBUILT, bundles: 'lib/bin' },
];

describe('the search for addon and programs', () => {
  const chosen = process.env['VMIC_ADDON'];
  beforeEach(() => {
    delete process.env['VMIC_ADDON'];
  });
  afterEach(() => {
    if (chosen === undefined) delete process.env['VMIC_ADDON'];
    else process.env['VMIC_ADDON'] = chosen;
  });

  for (const { way, code, compiled, bundles } of LAYOUTS) {
    it(`finds both: ${way}`, (t) => {
      const root = temporaryFolder(t);
      const files = {
        addon: join(root, compiled, 'vmic.node'),
        program: join(root, compiled, 'vmic-vss-guard'),
        bundle: join(root, bundles, 'vmic-kvp'),
      };
      for (const file of [...Object.values(files), join(root, code, 'code.js')]) {
        mkdirSync(dirname(file), { recursive: true });
        writeFileSync(file, '');
      }
      const from = join(root, code);
      assert.deepEqual(
        {
          addon: locateAddon(from),
          program: locateProgram('vmic-vss-guard', from),
          bundle: locateBundle('vmic-kvp', from),
        },
        files,
      );
      assert.equal(findBundle('simulate.js', from), undefined);
    });
  }

  it('finds those of this tree by itself', () => {
    assert.equal(locateAddon(), join(ROOT, 'build/Release/vmic.node'));
    assert.equal(locateProgram('vmic-vss-guard'), join(ROOT, 'build/Release/vmic-vss-guard'));
    assert.equal(locateBundle('vmic-kvp'), join(ROOT, 'bin/vmic-kvp'));
    assert.equal(findBundle('simulate.js'), join(ROOT, 'bin/simulate.js'));
  });

  it('says what it looked for, and what to do', (t) => {
    const folder = temporaryFolder(t);
    const from = join(folder, 'code');
    const compiled = ['code', 'build/Release', `prebuilt/${process.arch}`];
    const message = (what: string, name: string, folders: readonly string[]): string =>
      `${what} is missing (looked for ${folders.map((one) => join(folder, one, name)).join(', ')}` +
      '): run `npm run build` in a clone, or install the package again.';
    assert.throws(() => locateAddon(from), {
      message: message('The addon vmic.node', 'vmic.node', compiled),
    });
    assert.throws(() => locateProgram('vmic-vss-guard', from), {
      message: message('The program vmic-vss-guard', 'vmic-vss-guard', compiled),
    });
    assert.throws(() => locateBundle('vmic-kvp', from), {
      message: message('The program vmic-kvp', 'vmic-kvp', ['code', 'bin']),
    });
  });

  it('takes the addon that VMIC_ADDON names, and no other', (t) => {
    const folder = temporaryFolder(t);
    const addon = join(folder, 'another.node');
    process.env['VMIC_ADDON'] = addon;
    assert.throws(() => locateAddon(), {
      message: `The addon ${addon} is missing: VMIC_ADDON names it. Correct or unset that.`,
    });
    writeFileSync(addon, '');
    assert.equal(locateAddon(), addon);
  });
});
