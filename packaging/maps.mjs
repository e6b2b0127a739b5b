import { join } from 'node:path';
import { root, run, say } from '../scripts/support.mjs';
import { PROGRAMS, SOURCE_DATE_EPOCH, VERSION } from './contents.mjs';

/**
 * Packs the source maps of the programs into dist/. Packages leave them out, because maps would
 * nearly double them. scripts/explain-stack.mjs reads them.
 */
export function packMaps() {
  const out = `dist/vmic-${VERSION}.maps.tgz`;
  run('tar', [
    ...['--create', '--file', out, '--use-compress-program', 'gzip -n', '--directory', 'bin'],
    ...['--sort=name', `--mtime=@${SOURCE_DATE_EPOCH}`, '--mode=0644'],
    ...['--owner=0', '--group=0', '--numeric-owner'],
    ...PROGRAMS.map((name) => `${name}.map`),
  ]);
  say(`Built ${join(root, out)}`);
}
