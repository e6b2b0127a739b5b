/**
 * The one search for the files that the code does not hold itself: the addon, compiled programs,
 * bundled programs.
 *
 *   way of installing      folder of the code        compiled files        bundles
 *   source tree            native/                   build/Release/        bin/
 *   bundle in a clone      bin/                      build/Release/        bin/
 *   deb, rpm, tree         /usr/lib/vmic/            /usr/lib/vmic/        /usr/lib/vmic/
 *   bundle of npm          lib/bin/                  lib/prebuilt/ARCH/    lib/bin/
 *   library of npm         lib/native/               lib/prebuilt/ARCH/    lib/bin/
 */
import { existsSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Relative to the folder of the code. */
const COMPILED = ['.', '../build/Release', `../prebuilt/${process.arch}`];
const BUNDLED = ['.', '../bin'];

/**
 * The folder of the code that runs. A CommonJS bundle has no `import.meta`. Our build puts the
 * bundle's own URL there (scripts/build.mjs); for other bundles the executable tells.
 */
function codeFolder(): string {
  const url = import.meta.url as string | undefined;
  return dirname(
    url === undefined ? realpathSync(process.argv[1] ?? process.execPath) : fileURLToPath(url),
  );
}

function find(places: readonly string[]): string | undefined {
  return places.find((path) => existsSync(path));
}

function locate(what: string, places: readonly string[]): string {
  const found = find(places);
  if (found !== undefined) return found;
  throw new Error(
    `${what} is missing (looked for ${places.join(', ')}): run \`npm run build\` in a clone, or ` +
      'install the package again.',
  );
}

const placesOf = (name: string, folders: readonly string[], from: string): string[] =>
  folders.map((folder) => join(from, folder, name));

/** Returns the path of the addon: what VMIC_ADDON names, or else the one of this installation. */
export function locateAddon(from: string = codeFolder()): string {
  const chosen = process.env['VMIC_ADDON'];
  if (!chosen) return locate('The addon vmic.node', placesOf('vmic.node', COMPILED, from));
  if (existsSync(chosen)) return chosen;
  throw new Error(`The addon ${chosen} is missing: VMIC_ADDON names it. Correct or unset that.`);
}

/** Returns the path of a compiled program, a target of binding.gyp. */
export function locateProgram(name: string, from: string = codeFolder()): string {
  return locate(`The program ${name}`, placesOf(name, COMPILED, from));
}

/** Returns the path of a bundle that `npm run build` puts into bin/. */
export function locateBundle(name: string, from: string = codeFolder()): string {
  return locate(`The program ${name}`, placesOf(name, BUNDLED, from));
}

/** Returns the path of a bundle that not every installation has; undefined if it is not there. */
export function findBundle(name: string, from: string = codeFolder()): string | undefined {
  return find(placesOf(name, BUNDLED, from));
}
