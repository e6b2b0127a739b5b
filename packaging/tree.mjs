/**
 * Lays out what a package holds below a folder: for distributions that are neither Debian's nor Red
 * Hat's kin, and for images.
 *
 * usage: node packaging/tree.mjs [--init systemd|openrc] [--flavour vmic|vmic-bundled-node] FOLDER
 */

import { existsSync, readdirSync } from 'node:fs';
import { resolve } from 'node:path';
import { Failure, parseArguments, runMain, say, UsageError } from '../scripts/support.mjs';
import { FLAVOURS, NATIVE_ARCH } from './contents.mjs';
import { buildNative, fetchNode } from './native.mjs';
import { normalize, stage } from './stage.mjs';

await runMain(() => {
  const { values, positionals } = parseArguments(import.meta.url, {
    init: { type: 'string', default: 'systemd' },
    flavour: { type: 'string', default: 'vmic' },
  });
  if (positionals.length !== 1)
    throw new UsageError('usage: npm run package:tree -- [--init systemd|openrc] FOLDER');
  if (!['systemd', 'openrc'].includes(values.init))
    throw new UsageError(`--init ${values.init}: there are systemd, openrc`);
  if (!Object.hasOwn(FLAVOURS, values.flavour)) {
    throw new UsageError(
      `--flavour ${values.flavour}: there are ${Object.keys(FLAVOURS).join(', ')}`,
    );
  }
  if (NATIVE_ARCH === undefined) throw new Failure(`There are no packages for ${process.arch}`);
  const folder = resolve(positionals[0]);
  if (existsSync(folder) && readdirSync(folder).length > 0)
    throw new Failure(`${folder} is not empty`);
  const native = buildNative(NATIVE_ARCH);
  const node = values.flavour === 'vmic' ? undefined : fetchNode(NATIVE_ARCH).node;
  stage(folder, { format: 'tree', flavour: values.flavour, native, node, init: values.init });
  normalize(folder);
  say(`Laid out in ${folder}`);
});
