/**
 * From a fresh clone to a built addon: npm packages, Debian packages for the build, Node's headers,
 * build/Release/vmic.node. Does only what is missing, and nothing at all the second time.
 *
 * usage: node scripts/setup.mjs [--quiet]     --quiet: no word when there was nothing to do
 */

import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import {
  capture,
  Failure,
  fingerprint,
  installDebianPackages,
  isCurrent,
  isDebian,
  isOnPath,
  listFiles,
  locked,
  parseArguments,
  root,
  run,
  runMain,
  say,
  writeStamp,
} from './support.mjs';

const ADDON_STAMP = 'build/.inputs';
const BUILD_TOOLS = { 'g++': 'g++', make: 'make', python3: 'python3' };

/**
 * Compares what npm says it installed with the lock file; times of files say nothing after a clone.
 */
function npmPackagesAreCurrent() {
  const installedFile = join(root, 'node_modules/.package-lock.json');
  if (!existsSync(installedFile)) return false;
  const installed = JSON.parse(readFileSync(installedFile, 'utf8')).packages;
  const wanted = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages;
  return Object.entries(wanted).every(
    // Optional ones are binaries for other platforms.
    ([path, { version, optional }]) =>
      path === '' || optional || installed[path]?.version === version,
  );
}

function installNpmPackages() {
  say('Installing npm packages');
  const npm = process.env.npm_execpath;
  const args = [
    'ci',
    '--include=dev',
    '--include=optional',
    '--ignore-scripts',
    '--no-audit',
    '--no-fund',
  ];
  if (npm !== undefined) return run(process.execPath, [npm, ...args], { hide: true });
  if (!isOnPath('npm')) installDebianPackages(['npm'], 'npm is missing');
  run('npm', args, { hide: true });
}

/**
 * A folder is fit when it has the headers of this Node's major version, and uv.h beside them or
 * where every compiler looks.
 */
function hasHeaders(folder) {
  const versionFile = join(folder, 'node_version.h');
  if (!existsSync(versionFile) || !existsSync(join(folder, 'node_api.h'))) return false;
  if (!existsSync(join(folder, 'uv.h')) && !existsSync('/usr/include/uv.h')) return false;
  const major = /#define NODE_MAJOR_VERSION (\d+)/.exec(readFileSync(versionFile, 'utf8'))?.[1];
  return major === process.versions.node.split('.')[0];
}

/**
 * The folder which holds include/node/node.h, for node-gyp's --nodedir; undefined when there is
 * none that fits.
 */
function findNodeDir() {
  const candidates = [
    process.env.npm_config_nodedir,
    dirname(dirname(process.execPath)),
    '/usr',
    '/usr/local',
  ];
  const fit = (folder) =>
    folder !== undefined && folder !== '' && hasHeaders(join(folder, 'include/node'));
  const found = candidates.find(fit);
  if (found !== undefined) return found;
  const configured = capture('npm', ['config', 'get', 'nodedir'])?.trim();
  return fit(configured) ? configured : undefined;
}

function requireNodeDir() {
  let nodeDir = findNodeDir();
  if (nodeDir !== undefined) return nodeDir;
  const why = `No C++ headers for Node.js ${process.versions.node} were found`;
  if (isDebian && capture('dpkg-query', ['-S', process.execPath])?.startsWith('nodejs:')) {
    installDebianPackages(['libnode-dev'], why);
    nodeDir = findNodeDir();
    if (nodeDir !== undefined) return nodeDir;
  }
  throw new Failure(
    `${why}. They are part of every Node.js from nodejs.org and NodeSource ` +
      '(PREFIX/include/node), and the package ' +
      'libnode-dev on Debian, nodejs-devel on Fedora, nodejs-dev on Alpine. For another ' +
      'place: npm_config_nodedir=PREFIX npm start',
  );
}

/** What the addon is made from. */
function addonFingerprint() {
  const files = listFiles(['binding.gyp', 'native'], (path) =>
    /\.(gyp|gypi|h|hpp|cc|cpp)$/.test(path),
  );
  const { abi, arch } = { abi: process.versions.modules, arch: process.arch };
  return fingerprint([...files, 'node_modules/node-addon-api/package.json'], {
    abi,
    arch,
    cxx: process.env.CXX,
  });
}

function addonIsCurrent() {
  const isBuilt = ['vmic.node', 'vmic-vss-guard'].every((name) =>
    existsSync(join(root, 'build/Release', name)),
  );
  return isBuilt && isCurrent(ADDON_STAMP, addonFingerprint());
}

function buildAddon() {
  const missing = Object.keys(BUILD_TOOLS).filter((tool) => !isOnPath(tool));
  if (missing.length > 0) {
    installDebianPackages(
      missing.map((tool) => BUILD_TOOLS[tool]),
      `Needed to build the addon, and missing: ${missing.join(', ')}`,
    );
  }
  const nodeDir = requireNodeDir();
  const print = addonFingerprint();
  say(`Building the addon with the headers in ${nodeDir}/include/node`);
  const nodeGyp = join(root, 'node_modules/node-gyp/bin/node-gyp.js');
  // With --nodedir node-gyp looks nowhere else, and downloads nothing.
  run(
    process.execPath,
    [nodeGyp, 'configure', 'build', '--release', `--nodedir=${nodeDir}`, '--jobs=max'],
    {
      hide: true,
    },
  );
  writeStamp(ADDON_STAMP, print);
}

await runMain(() => {
  const { quiet } = parseArguments(
    import.meta.url,
    { quiet: { type: 'boolean' } },
    { allowPositionals: false },
  ).values;
  if (npmPackagesAreCurrent() && addonIsCurrent()) {
    if (!quiet) say('Everything is set up.');
    return 0;
  }
  return locked('setup', () => {
    if (!npmPackagesAreCurrent()) installNpmPackages();
    if (!addonIsCurrent()) buildAddon();
    return 0;
  });
});
