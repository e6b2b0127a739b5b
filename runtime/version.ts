import fs from 'node:fs';

/** scripts/build.mjs puts the version here, because a bundle has no package.json beside it. */
declare const __VMIC_VERSION__: string | undefined;

/** vmic's version. It stands in package.json alone. */
export const VERSION: string =
  typeof __VMIC_VERSION__ === 'string' ? __VMIC_VERSION__ : versionOfSources();

function versionOfSources(): string {
  const file = new URL('../package.json', import.meta.url);
  return (JSON.parse(fs.readFileSync(file, 'utf8')) as { readonly version: string }).version;
}
