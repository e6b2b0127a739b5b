/**
 * The compiled parts of a package (addon, executables), and the Node.js of the flavour that brings
 * its own: made or fetched once, in .cache, for an architecture that need not be this machine's.
 */

import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import {
  capture,
  Failure,
  fingerprint,
  installDebianPackages,
  isCurrent,
  isOnPath,
  listFiles,
  root,
  run,
  say,
  writeStamp,
} from '../scripts/support.mjs';
import { ARCHITECTURES, BUNDLED_NODE, EXECUTABLES } from './contents.mjs';

/** What is compiled. */
const RESULTS = ['vmic.node', ...EXECUTABLES];

const isForeign = (arch) => ARCHITECTURES[arch].node !== process.arch;

/** The compiler's tools for an architecture, as environment variables of make and gyp. */
function toolchain(arch) {
  if (!isForeign(arch)) return { CC: 'gcc', CXX: 'g++', STRIP: 'strip' };
  const { triplet } = ARCHITECTURES[arch];
  const compiler = `${triplet}-g++`;
  if (!isOnPath(compiler)) {
    installDebianPackages(
      [`g++-${triplet.replace('_', '-')}`],
      `Packages for ${arch} take a cross compiler, ${compiler}`,
    );
  }
  return { CC: `${triplet}-gcc`, CXX: compiler, AR: `${triplet}-ar`, STRIP: `${triplet}-strip` };
}

/**
 * The folder with include/node that the addon of this tree was built with: any Node.js's fits,
 * Node-API is the same in all.
 */
function headers() {
  const config = readFileSync(join(root, 'build/config.gypi'), 'utf8');
  const folder = /"nodedir": "([^"]+)"/.exec(config)?.[1];
  if (folder === undefined) throw new Failure('build/config.gypi names no headers: npm run build');
  return folder;
}

/**
 * Compiles addon and executables, without a trace of this machine's folders.
 * @returns the folder they are in
 */
export function buildNative(arch) {
  const tools = toolchain(arch);
  const folder = join(root, '.cache/package', arch);
  const out = join(folder, 'build/Release');
  const inputs = listFiles(['binding.gyp', 'native', 'packaging/native.mjs'], (path) =>
    /\.(gyp|mjs|h|hpp|cc|cpp)$/.test(path),
  );
  const nodeDir = headers();
  const compilerVersion = capture(tools.CXX, ['--version']);
  const print = fingerprint(inputs, { compilerVersion, nodeDir });
  const stamp = `.cache/package/${arch}/.inputs`;
  if (RESULTS.every((name) => existsSync(join(out, name))) && isCurrent(stamp, print)) return out;

  say(`Building addon and executables for ${arch}`);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  // A tree of its own: node-gyp knows no other place for its output than beside binding.gyp.
  cpSync(join(root, 'binding.gyp'), join(folder, 'binding.gyp'));
  cpSync(join(root, 'native'), join(folder, 'native'), { recursive: true });
  cpSync(join(root, 'package.json'), join(folder, 'package.json'));
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  const flags =
    `-O2 -ffile-prefix-map=${folder}=. -ffile-prefix-map=${root}=. -fstack-protector-strong ` +
    '-D_FORTIFY_SOURCE=2';
  const env = {
    ...tools,
    CFLAGS: flags,
    CXXFLAGS: flags,
    LDFLAGS: '-Wl,-z,relro -Wl,-z,now -Wl,--build-id=sha1 -Wl,--as-needed',
  };
  const nodeGyp = join(root, 'node_modules/node-gyp/bin/node-gyp.js');
  const args = [
    'configure',
    'build',
    '--release',
    `--arch=${ARCHITECTURES[arch].node}`,
    `--nodedir=${nodeDir}`,
    '--jobs=max',
  ];
  run(process.execPath, [nodeGyp, '-C', folder, ...args], { hide: true, env });
  for (const name of RESULTS) {
    run(
      tools.STRIP,
      ['--strip-unneeded', '--remove-section=.comment', '--remove-section=.note', join(out, name)],
      {
        hide: true,
      },
    );
  }
  writeStamp(stamp, print);
  return out;
}

/** Minor version of GLIBCXX_3.4.N -> the GCC that brought it. */
const GCC_OF = { 29: 11, 30: 12, 31: 13, 32: 13, 33: 14 };

/**
 * The oldest glibc and GCC whose libraries the compiled files of a folder run with: { glibc:
 * "2.33", gcc: 11 }.
 */
export function requiredLibraries(folder) {
  const symbols = RESULTS.map((name) => capture('objdump', ['-T', join(folder, name)]) ?? '').join(
    '',
  );
  const newest = (pattern) =>
    Math.max(...[...symbols.matchAll(pattern)].map(([, minor]) => Number(minor)));
  const glibc = newest(/\bGLIBC_2\.(\d+)/g);
  const libstdcxx = newest(/\bGLIBCXX_3\.4\.(\d+)/g);
  if (!Number.isFinite(glibc))
    throw new Failure(`objdump -T finds no version of glibc in ${folder}`);
  if (libstdcxx > 33)
    throw new Failure(
      `${folder} takes GLIBCXX_3.4.${libstdcxx}: name its GCC in packaging/native.mjs`,
    );
  return { glibc: `2.${glibc}`, gcc: GCC_OF[libstdcxx] ?? 5 };
}

/** Node.js for the flavour that brings its own: {node, licence}, both paths. */
export function fetchNode(arch) {
  const { node: nodeArch } = ARCHITECTURES[arch];
  const tools = toolchain(arch);
  const name = `node-linux-${nodeArch}@${BUNDLED_NODE.version}`;
  const folder = join(root, '.cache/package', `node-${BUNDLED_NODE.version}-${nodeArch}`);
  const result = { node: join(folder, 'node'), licence: join(folder, 'LICENSE') };
  if (existsSync(folder)) return result;
  say(`Fetching ${name} from the npm registry`);
  const work = `${folder}.${process.pid}`;
  mkdirSync(work, { recursive: true });
  try {
    run('npm', ['pack', '--ignore-scripts', '--pack-destination', work, name], { hide: true });
    const archive = join(work, readdirSync(work).find((file) => file.endsWith('.tgz')) ?? '');
    const found = `sha512-${createHash('sha512').update(readFileSync(archive)).digest('base64')}`;
    if (found !== BUNDLED_NODE.integrity[nodeArch]) {
      throw new Failure(
        `${name} is not what it was: its integrity is ${found}, not ` +
          `${BUNDLED_NODE.integrity[nodeArch]}`,
      );
    }
    run(
      'tar',
      ['-xzf', archive, '-C', work, '--strip-components=1', 'package/bin/node', 'package/LICENSE'],
      {
        hide: true,
      },
    );
    renameSync(join(work, 'bin/node'), join(work, 'node'));
    for (const extra of ['bin', archive])
      rmSync(extra === 'bin' ? join(work, extra) : extra, { recursive: true });
    // Its symbols of functions are a seventh of its size; those that addons link to stay.
    run(tools.STRIP, ['--strip-unneeded', join(work, 'node')], { hide: true });
    mkdirSync(dirname(folder), { recursive: true });
    renameSync(work, folder);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return result;
}
