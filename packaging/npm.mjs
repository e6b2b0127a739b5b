/**
 * What `npm pack` runs first (prepack): makes lib/, all that the npm package holds. JavaScript and
 * types of the protocol codecs and of the simulated host; the programs; the addon for each
 * architecture that can be built for here.
 */

import { cpSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { Failure, root, run, runMain, say } from '../scripts/support.mjs';
import { ARCHITECTURES, EXECUTABLES, NATIVE_ARCH, PROGRAMS } from './contents.mjs';
import { buildNative } from './native.mjs';

await runMain(() => {
  const lib = join(root, 'lib');
  rmSync(lib, { recursive: true, force: true });
  run('node_modules/.bin/tsc', ['-p', 'packaging/npm.tsconfig.json']);
  for (const name of ['package.json', ...PROGRAMS])
    cpSync(join(root, 'bin', name), join(lib, 'bin', name));
  for (const [arch, { node }] of Object.entries(ARCHITECTURES)) {
    let native;
    try {
      native = buildNative(arch);
    } catch (error) {
      if (!(error instanceof Failure) || arch === NATIVE_ARCH) throw error;
      say(`${error.message}\nThe npm package will be without an addon for ${arch}.`);
      continue;
    }
    const folder = join(lib, 'prebuilt', node);
    mkdirSync(folder, { recursive: true });
    for (const file of ['vmic.node', ...EXECUTABLES])
      cpSync(join(native, file), join(folder, file));
  }
});
