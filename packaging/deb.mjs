/**
 * Builds the Debian packages into dist/: vmic_VERSION_ARCH.deb, and
 * vmic-bundled-node_VERSION_ARCH.deb, which brings its own Node.js.
 *
 * usage: node packaging/deb.mjs [--arch amd64|arm64]... [--flavour vmic|vmic-bundled-node]...
 *   by default all
 */

import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Failure, isOnPath, root, run, runMain } from '../scripts/support.mjs';
import {
  ABOUT,
  C_PACKAGES,
  C_UNITS,
  CONFIGURATION,
  DESCRIPTION,
  INSTALLED_UNITS,
  MAINTAINER,
  NODE_MIN,
  SOURCE_DATE_EPOCH,
  UNITS,
  VERSION,
} from './contents.mjs';
import { copyrightFile } from './copyright.mjs';
import { requiredLibraries } from './native.mjs';
import { forEachPackage, gzip, listTree, normalize, stage } from './stage.mjs';

/** A maintainer script with its lists filled in. */
function script(name) {
  const lists = {
    C_UNITS: C_UNITS.map((unit) => `${unit}.service`),
    INSTALLED_UNITS,
    SERVICES: UNITS.filter((unit) => unit.endsWith('.service')),
    // Of a template, whatever there is
    LOADED_UNITS: UNITS.map((unit) => `'${unit.replace('@', '@*')}'`),
  };
  const template = readFileSync(join(root, 'packaging/debian', name), 'utf8');
  return template.replace(/@(\w+)@/g, (_, list) => lists[list].join(' '));
}

function control({ name, arch, installedKib, glibc, gcc }) {
  const own = name === 'vmic';
  const fields = {
    Package: name,
    Version: VERSION,
    Architecture: arch,
    Maintainer: MAINTAINER,
    'Installed-Size': installedKib,
    Depends: [
      `libc6 (>= ${glibc})`,
      `libstdc++6 (>= ${gcc})`,
      ...(own ? [`nodejs (>= ${NODE_MIN})`] : []),
    ].join(', '),
    'Pre-Depends': 'init-system-helpers (>= 1.54~)',
    Conflicts: [own ? 'vmic-bundled-node' : 'vmic', ...C_PACKAGES].join(', '),
    Replaces: [own ? 'vmic-bundled-node' : 'vmic', ...C_PACKAGES].join(', '),
    Provides: [...(own ? [] : [`vmic (= ${VERSION})`]), ...C_PACKAGES].join(', '),
    Section: 'admin',
    Priority: 'optional',
    Description: `${DESCRIPTION}${own ? '' : ' (with Node.js)'}`,
  };
  const about = [
    ...ABOUT,
    ...(own
      ? []
      : [
          '.',
          'This package brings the Node.js it runs with, for distributions that have none',
          'that is recent enough.',
        ]),
  ];
  return `${Object.entries(fields)
    .map(([key, value]) => `${key}: ${value}\n`)
    .join('')}${about.map((line) => ` ${line}\n`).join('')}`;
}

/**
 * Debian's form of a changelog, with the one entry that there is to say: a package of this version
 * was built.
 */
function changelog(name) {
  const date = new Date(SOURCE_DATE_EPOCH * 1000).toUTCString().replace('GMT', '+0000');
  return (
    `${name} (${VERSION}) unstable; urgency=medium\n\n  * See ` +
    `/usr/share/doc/${name}/CHANGELOG.md.gz for what changed.\n\n -- ${MAINTAINER}  ${date}\n`
  );
}

const md5 = (file) => createHash('md5').update(readFileSync(file)).digest('hex');

await runMain(() => {
  if (!isOnPath('dpkg-deb'))
    throw new Failure(
      'Debian packages are built by dpkg-deb, on Debian or where the package dpkg is installed',
    );
  forEachPackage(import.meta.url, ({ name, arch, native, node, nodeLicence, folder }) => {
    const tree = join(folder, 'root');
    stage(tree, { format: 'deb', flavour: name, native, node });
    const doc = join(tree, 'usr/share/doc', name);
    mkdirSync(doc, { recursive: true });
    writeFileSync(join(doc, 'copyright'), copyrightFile(nodeLicence));
    writeFileSync(join(doc, 'changelog.gz'), gzip(changelog(name)));
    writeFileSync(join(doc, 'CHANGELOG.md.gz'), gzip(readFileSync(join(root, 'CHANGELOG.md'))));
    writeFileSync(join(doc, 'README.md.gz'), gzip(readFileSync(join(root, 'README.md'))));
    const overrides = join(tree, 'usr/share/lintian/overrides');
    mkdirSync(overrides, { recursive: true });
    const template = [
      'lintian-overrides',
      ...(node === undefined ? [] : ['lintian-overrides-node']),
    ]
      .map((file) => readFileSync(join(root, 'packaging/debian', file), 'utf8'))
      .join('');
    writeFileSync(join(overrides, name), template.replaceAll('@PACKAGE@', name));

    const installedKib = listTree(tree).reduce((sum, { name: path, entry }) => {
      return sum + (entry.isFile() ? Math.ceil(statSync(join(tree, path)).size / 1024) : 1);
    }, 0);
    const sums = listTree(tree).filter(
      ({ name: path, entry }) => entry.isFile() && !Object.hasOwn(CONFIGURATION, path),
    );
    mkdirSync(join(tree, 'DEBIAN'));
    const meta = (file, content, mode) =>
      writeFileSync(join(tree, 'DEBIAN', file), content, { mode });
    meta('control', control({ name, arch, installedKib, ...requiredLibraries(native) }), 0o644);
    meta(
      'conffiles',
      Object.keys(CONFIGURATION)
        .map((path) => `/${path}\n`)
        .join(''),
      0o644,
    );
    meta(
      'md5sums',
      sums.map(({ name: path }) => `${md5(join(tree, path))}  ${path}\n`).join(''),
      0o644,
    );
    for (const maintainerScript of ['preinst', 'postinst', 'prerm', 'postrm'])
      meta(maintainerScript, script(maintainerScript), 0o755);
    normalize(tree);

    const out = join(root, 'dist', `${name}_${VERSION}_${arch}.deb`);
    rmSync(out, { force: true });
    // One thread: how many there are decides where blocks end.
    const env = { SOURCE_DATE_EPOCH: String(SOURCE_DATE_EPOCH), DPKG_DEB_THREADS_MAX: '1' };
    run('dpkg-deb', ['--root-owner-group', '-Zxz', '--build', tree, out], { hide: true, env });
    return out;
  });
});
