import { join } from 'node:path';
import { buildSync } from 'esbuild';
import { type Scope, temporaryFolder } from './pairs.ts';

export const ADDON =
  process.env['VMIC_ADDON'] ??
  join(import.meta.dirname, '..', '..', 'build', 'Release', 'vmic.node');

/**
 * Makes one JavaScript file of a TypeScript one of this folder, for worker threads, which know no
 * loader hooks in Node 20. It finds the addon by VMIC_ADDON.
 */
export function bundle(t: Scope, source: string): string {
  const outfile = join(temporaryFolder(t), 'bundle.mjs');
  buildSync({
    entryPoints: [join(import.meta.dirname, source)],
    outfile,
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'esm',
    logLevel: 'error',
  });
  return outfile;
}
