/**
 * Builds the RPM packages into dist/: vmic-VERSION-1.ARCH.rpm, and
 * vmic-bundled-node-VERSION-1.ARCH.rpm, which brings its own Node.js.
 *
 * usage: node packaging/rpm.mjs [--arch amd64|arm64]... [--flavour vmic|vmic-bundled-node]...
 *   by default all
 */

import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { installDebianPackages, isOnPath, root, run, runMain } from '../scripts/support.mjs';
import {
  ABOUT,
  ARCHITECTURES,
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
import { copyrightFile, licencesOf } from './copyright.mjs';
import { forEachPackage, listTree, normalize, stage } from './stage.mjs';

/** Folders that are ours; the others belong to packages that everybody has. */
const OWN_FOLDERS = /^(etc\/vmic|usr\/lib\/vmic|usr\/share\/doc\/[^/]+)(\/|$)/;

/** The lines of %files. */
function fileList(tree) {
  return listTree(tree).flatMap(({ name, entry }) => {
    const path = `/${name}`;
    if (entry.isDirectory()) return OWN_FOLDERS.test(name) ? [`%dir ${path}`] : [];
    if (Object.hasOwn(CONFIGURATION, name)) return [`%config(noreplace) ${path}`];
    return [`${/^usr\/share\/(doc|man)\//.test(name) ? '%doc ' : ''}${path}`];
  });
}

function spec({ name, tree, files }) {
  const own = name === 'vmic';
  const lines = (tag, values) => values.map((value) => `${tag}: ${value}`).join('\n');
  const date = new Date(SOURCE_DATE_EPOCH * 1000).toUTCString();
  const [, weekday, day, month, year] = /^(\w+), (\d+) (\w+) (\d+)/.exec(date) ?? [];
  const values = {
    NAME: name,
    VERSION,
    SUMMARY: `${DESCRIPTION}${own ? '' : ', with Node.js'}`,
    LICENCE: licencesOf({ node: !own }),
    MAINTAINER,
    // Fedora and RHEL call it nodejs, with an epoch; openSUSE by its major version, without.
    REQUIRES: own ? `Requires: (nodejs >= 1:${NODE_MIN} or nodejs20 or nodejs22 or nodejs24)` : '',
    // No Obsoletes: an upgrade of everything must not bring vmic to somebody who did not ask for
    // it.
    CONFLICTS: lines('Conflicts', [own ? 'vmic-bundled-node' : 'vmic', ...C_PACKAGES]),
    PROVIDES: lines('Provides', [
      ...(own ? [] : [`vmic = ${VERSION}`]),
      ...C_PACKAGES.map((c) => `${c} = ${VERSION}`),
    ]),
    ABOUT: [...ABOUT, ...(own ? [] : ['It brings the Node.js it runs with.'])].join('\n'),
    TREE: tree,
    C_UNITS: C_UNITS.map((unit) => `${unit}.service`).join(' '),
    INSTALLED_UNITS: INSTALLED_UNITS.join(' '),
    SERVICES: UNITS.filter((unit) => unit.endsWith('.service')).join(' '),
    UNITS: UNITS.map((unit) => `'${unit.replace('@', '@*')}'`).join(' '),
    FILES: files.join('\n'),
    DATE: `${weekday} ${month} ${day} ${year}`,
  };
  const template = readFileSync(join(root, 'packaging/rpm/vmic.spec'), 'utf8');
  return template.replace(/@([A-Z_]+)@/g, (_, key) => values[key]);
}

await runMain(() => {
  if (!isOnPath('rpmbuild')) installDebianPackages(['rpm'], 'RPM packages are built by rpmbuild');
  forEachPackage(import.meta.url, ({ name, arch, native, node, nodeLicence, folder }) => {
    const tree = join(folder, 'tree');
    stage(tree, { format: 'rpm', flavour: name, native, node });
    const doc = join(tree, 'usr/share/doc', name);
    mkdirSync(doc, { recursive: true });
    writeFileSync(join(doc, 'copyright'), copyrightFile(nodeLicence));
    for (const file of ['CHANGELOG.md', 'README.md'])
      writeFileSync(join(doc, file), readFileSync(join(root, file)));
    normalize(tree);

    const specFile = join(folder, `${name}.spec`);
    writeFileSync(specFile, spec({ name, tree, files: fileList(tree) }));
    const rpmArch = ARCHITECTURES[arch].rpm;
    const macros = {
      _topdir: join(folder, 'rpmbuild'),
      _rpmdir: join(folder, 'out'),
      _rpmfilename: `%{NAME}-%{VERSION}-%{RELEASE}.%{ARCH}.rpm`,
      _buildhost: 'localhost',
      _binary_payload: 'w6.xzdio',
      _build_id_links: 'none',
      debug_package: '%{nil}',
      // All has been stripped and compressed already, and the interpreter's name is meant
      __os_install_post: '%{nil}',
      use_source_date_epoch_as_buildtime: '1',
      clamp_mtime_to_source_date_epoch: '1',
      // Modules of ours are nobody else's
      __provides_exclude_from: '^/usr/lib/vmic/.*$',
    };
    const defines = Object.entries(macros).flatMap(([key, value]) => [
      '--define',
      `${key} ${value}`,
    ]);
    const env = { SOURCE_DATE_EPOCH: String(SOURCE_DATE_EPOCH), HOME: folder };
    run('rpmbuild', ['-bb', '--nodeps', '--target', `${rpmArch}-linux`, ...defines, specFile], {
      hide: true,
      env,
    });
    const out = join(root, 'dist', `${name}-${VERSION}-1.${rpmArch}.rpm`);
    cpSync(join(folder, 'out', `${name}-${VERSION}-1.${rpmArch}.rpm`), out);
    return out;
  });
});
