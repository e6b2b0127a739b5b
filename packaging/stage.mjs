/** Lays out the files of a package in a folder, which then looks like the root of a system. */

import {
  chmodSync,
  lutimesSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join, relative } from 'node:path';
import { gzipSync } from 'node:zlib';
import {
  capture,
  Failure,
  listFiles,
  parseArguments,
  root,
  say,
  UsageError,
} from '../scripts/support.mjs';
import {
  ARCHITECTURES,
  CONFIGURATION,
  DOCUMENTS,
  EXECUTABLES,
  FLAVOURS,
  FOLDERS,
  PROGRAMS,
  SERVICES,
  SOURCE_DATE_EPOCH,
  UNITS,
  VERSION,
} from './contents.mjs';
import { packMaps } from './maps.mjs';
import { buildNative, fetchNode } from './native.mjs';

const HOME = 'usr/lib/vmic';
const ZSH = {
  deb: 'usr/share/zsh/vendor-completions',
  rpm: 'usr/share/zsh/site-functions',
  tree: 'usr/share/zsh/site-functions',
};

/**
 * @param folder   where to; must not exist yet
 * @param format   'deb', 'rpm' or 'tree': conventions about places and modes differ
 * @param flavour  a key of FLAVOURS
 * @param native   folder with the addon and the executables
 * @param node     Node.js's executable, for the flavour that brings its own
 * @param init     'systemd' or 'openrc'
 */
export function stage(folder, { format, flavour, native, node, init = 'systemd' }) {
  const put = (path, content, mode = 0o644) => {
    const file = join(folder, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, content);
    chmodSync(file, mode);
  };
  const copy = (from, to, mode) => put(to, readFileSync(join(root, from)), mode);
  const link = (path, target) => {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    symlinkSync(relative(dirname(path), target), join(folder, path));
  };

  for (const program of PROGRAMS) {
    const source = readFileSync(join(root, 'bin', program), 'utf8');
    if (!source.startsWith('#!/usr/bin/env node\n'))
      throw new Failure(`bin/${program} does not begin as it should`);
    // Not whichever node is on the path first: a service has to run with the one its package
    // depends on.
    const interpreter = FLAVOURS[flavour].interpreter;
    put(join(HOME, program), source.replace('#!/usr/bin/env node', `#!${interpreter}`), 0o755);
    link(join('usr/bin', program), join(HOME, program));
  }
  put(join(HOME, 'package.json'), readFileSync(join(root, 'bin/package.json')));
  // Debian wants shared objects not to be executable, RPM finds what they depend on only when they
  // are.
  put(
    join(HOME, 'vmic.node'),
    readFileSync(join(native, 'vmic.node')),
    format === 'rpm' ? 0o755 : 0o644,
  );
  for (const name of EXECUTABLES) put(join(HOME, name), readFileSync(join(native, name)), 0o755);
  if (node !== undefined) put(join(HOME, 'node'), readFileSync(node), 0o755);

  for (const { name, daemon, units } of SERVICES) {
    if (daemon !== undefined) link(join('usr/sbin', daemon), join(HOME, `vmic-${name}`));
    if (init === 'openrc') {
      copy('packaging/openrc/vmic', `etc/init.d/vmic-${name}`, 0o755);
    } else {
      for (const unit of units)
        link(
          `usr/lib/systemd/system/${unit}.service`,
          `usr/lib/systemd/system/vmic-${name}.service`,
        );
    }
  }
  if (init === 'systemd') {
    for (const unit of UNITS) put(`usr/lib/systemd/system/${unit}`, withManPage(unit));
    copy('systemd/80-vmic.preset', 'usr/lib/systemd/system-preset/80-vmic.preset');
    copy('systemd/70-vmic.rules', 'usr/lib/udev/rules.d/70-vmic.rules');
  }
  for (const [path, source] of Object.entries(CONFIGURATION)) copy(source, path, 0o755);
  const examples = listFiles(['packaging/examples']);
  for (const path of examples)
    copy(path, join('usr/share/doc', flavour, relative('packaging', path)), 0o755);
  for (const path of DOCUMENTS)
    copy(join('docs', path), join('usr/share/doc', flavour, 'docs', path));
  for (const path of FOLDERS) mkdirSync(join(folder, path), { recursive: true });

  for (const [page, source] of manPages()) put(`${page}.gz`, gzip(source));
  for (const { name, daemon } of SERVICES) {
    if (daemon !== undefined)
      link(`usr/share/man/man8/${daemon}.8.gz`, `usr/share/man/man8/vmic-${name}.8.gz`);
  }
  const completion = (shell) => {
    const script = capture(process.execPath, ['bin/vmic', 'completion', shell]);
    if (script === undefined) throw new Failure(`vmic completion ${shell} failed`);
    return script;
  };
  put('usr/share/bash-completion/completions/vmic', completion('bash'));
  put(join(ZSH[format], '_vmic'), completion('zsh'));
  put('usr/share/fish/vendor_completions.d/vmic.fish', completion('fish'));
}

/** As a program for people: no time in it, best compression. */
export const gzip = (content) => gzipSync(content, { level: 9 });

/** Path of a man page (not compressed) -> its source. */
function manPages() {
  const folder = 'packaging/man';
  const names = readdirSync(join(root, folder)).filter((name) => /\.[1578]$/.test(name));
  return names
    .filter((name) => {
      // Pages of programs there are, and all that are about something else
      const program = basename(name).replace(/\.\d$/, '');
      return !/^vmic-\w+\.8$/.test(name) || PROGRAMS.includes(program);
    })
    .map((name) => {
      const source = readFileSync(join(root, folder, name), 'utf8');
      const date = new Date(SOURCE_DATE_EPOCH * 1000);
      const day =
        `${date.toLocaleString('en', { month: 'long', timeZone: 'UTC' })} ` +
        `${date.getUTCDate()}, ${date.getUTCFullYear()}`;
      return [
        `usr/share/man/man${name.at(-1)}/${name}`,
        source.replace('$Mdocdate$', day).replace('$Version$', `vmic ${VERSION}`),
      ];
    });
}

/** All files and folders below, with their paths, sorted. */
export function listTree(folder, path = '') {
  return readdirSync(join(folder, path), { withFileTypes: true })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => {
      const name = join(path, entry.name);
      return entry.isDirectory() ? [{ name, entry }, ...listTree(folder, name)] : [{ name, entry }];
    });
}

/** Gives everything below the time of the last commit, and folders the mode that packages want. */
export function normalize(folder) {
  for (const { name, entry } of [...listTree(folder), { name: '', entry: undefined }]) {
    const path = join(folder, name);
    if (entry === undefined || entry.isDirectory()) chmodSync(path, 0o755);
    lutimesSync(path, SOURCE_DATE_EPOCH, SOURCE_DATE_EPOCH);
  }
}

/**
 * Runs `build` for each package that the command line asks for, and names what came out.
 * @param scriptUrl of the script whose command line it is
 * @param build takes {name, arch, native, node, nodeLicence, folder}, `folder` being an empty one
 * to work in; gives the package's path
 */
export function forEachPackage(scriptUrl, build) {
  const options = {
    arch: { type: 'string', multiple: true, default: Object.keys(ARCHITECTURES) },
    flavour: { type: 'string', multiple: true, default: Object.keys(FLAVOURS) },
  };
  const { values } = parseArguments(scriptUrl, options, { allowPositionals: false });
  const check = (option, known) => {
    for (const value of values[option]) {
      if (!Object.hasOwn(known, value))
        throw new UsageError(`--${option} ${value}: there are ${Object.keys(known).join(', ')}`);
    }
  };
  check('arch', ARCHITECTURES);
  check('flavour', FLAVOURS);
  mkdirSync(join(root, 'dist'), { recursive: true });
  packMaps();
  for (const arch of values.arch) {
    const native = buildNative(arch);
    for (const name of values.flavour) {
      const bundled = name === 'vmic-bundled-node' ? fetchNode(arch) : undefined;
      const folder = mkdtempSync(join(tmpdir(), 'vmic-package-'));
      try {
        const nodeLicence = bundled && readFileSync(bundled.licence, 'utf8');
        const out = build({ name, arch, native, node: bundled?.node, nodeLicence, folder });
        say(`Built ${relative(root, out)} (${(statSync(out).size / 2 ** 20).toFixed(1)} MiB)`);
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    }
  }
}

/**
 * A unit that names its man page, which only packages have: without one systemd-analyze verify
 * calls the unit wrong.
 */
function withManPage(unit) {
  const program = /^vmic-[a-z]+/.exec(unit)?.[0];
  const source = readFileSync(join(root, 'systemd', unit), 'utf8');
  return source.replace(/^Documentation=/m, `$&man:${program}(8) `);
}
