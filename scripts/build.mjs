/**
 * Bundles the programs: daemons/NAME/main.ts -> bin/vmic-NAME (cli/ -> bin/vmic), and the simulated
 * host, simulator/ -> bin/simulate.js, which `vmic simulate` loads where it is: packages leave it
 * out. Each is one CommonJS file (so no top-level await in an entry file); the addon stays beside,
 * in build/Release. The guard, which no Node runs, is copied from there.
 *
 * usage: node scripts/build.mjs [--quiet]
 */

import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import {
  Failure,
  fingerprint,
  isCurrent,
  listFiles,
  locked,
  parseArguments,
  root,
  runMain,
  say,
  writeStamp,
} from './support.mjs';

const { version: VERSION } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const STAMP = 'bin/.inputs';
const GUARD = 'build/Release/vmic-vss-guard';
/** Read by packaging/copyright.mjs. */
const BUNDLED = 'bin/.bundled.json';

/** Output name -> entry file. */
function findPrograms() {
  const programs = { vmic: 'cli/main.ts' };
  for (const folder of readdirSync(join(root, 'daemons')).sort()) {
    const entry = `daemons/${folder}/main.ts`;
    if (existsSync(join(root, entry))) programs[`vmic-${folder}`] = entry;
  }
  if (existsSync(join(root, 'simulator/main.ts'))) programs['simulate.js'] = 'simulator/main.ts';
  return programs;
}

function inputsFingerprint(programs) {
  const sources = listFiles(
    [
      'protocol',
      'native',
      'runtime',
      'daemons',
      'cli',
      'simulator',
      'fixtures',
      'scripts/build.mjs',
    ],
    (path) => /\.(ts|json|mjs)$/.test(path),
  );
  return fingerprint([...sources, 'package-lock.json', GUARD], { programs, version: VERSION });
}

/** Renamed into place: another process never sees half a program. */
function replaceFile(path, content, mode) {
  const temporary = `${path}.${process.pid}`;
  writeFileSync(temporary, content);
  chmodSync(temporary, mode);
  renameSync(temporary, path);
}

/**
 * What pino brings and a daemon never uses (worker threads, their transports) or hardly uses
 * (assert), made small: each would pull modules of Node's into memory, 1.7 MB of a resident process
 * in all.
 */
const SLIM = {
  transport:
    'module.exports = () => { throw new Error("log transports are left out of this bundle"); };',
  worker_threads: 'module.exports = { isMainThread: true };',
  assert:
    'module.exports = (ok, message) => { if (!ok) throw new Error(message ?? "assertion ' +
    'failed"); };',
};
const slimPino = {
  name: 'slim-pino',
  setup({ onResolve, onLoad }) {
    onResolve(
      { filter: /^((node:)?(worker_threads|assert)|\.\/(lib\/)?transport)$/ },
      ({ path, importer }) =>
        /node_modules\/(pino|sonic-boom)\//.test(importer)
          ? { path: basename(path).replace('node:', ''), namespace: 'slim' }
          : undefined,
    );
    onLoad({ filter: /.*/, namespace: 'slim' }, ({ path }) => ({ contents: SLIM[path] }));
  },
};

async function build(programs) {
  const { build: bundle } = await import('esbuild');
  const result = await bundle({
    absWorkingDir: root,
    entryPoints: Object.entries(programs).map(([out, entry]) => ({ in: entry, out })),
    outdir: 'bin',
    write: false,
    metafile: true,
    bundle: true,
    platform: 'node',
    target: 'node20.19',
    format: 'cjs',
    mainFields: ['module', 'main'],
    minifySyntax: true,
    minifyWhitespace: true,
    keepNames: false,
    // Maps lie beside the programs, which do not name them: packages stay small.
    sourcemap: 'external',
    sourcesContent: false,
    legalComments: 'none',
    charset: 'utf8',
    // CommonJS has no import.meta; the sources find files beside themselves with it.
    define: { 'import.meta.url': '__bundleUrl', __VMIC_VERSION__: JSON.stringify(VERSION) },
    banner: {
      js:
        '#!/usr/bin/env node\nconst ' +
        '__bundleUrl=require("node:url").pathToFileURL(require("node:fs").realpathSync(__filename)).href;',
    },
    plugins: [slimPino],
    logLevel: 'silent',
  }).catch(async (error) => {
    const { formatMessages } = await import('esbuild');
    throw new Failure(
      (await formatMessages(error.errors ?? [{ text: String(error) }], { kind: 'error' })).join(
        '\n',
      ),
    );
  });
  mkdirSync(join(root, 'bin'), { recursive: true });
  replaceFile(join(root, 'bin/package.json'), '{"type":"commonjs"}\n', 0o644);
  for (const file of result.outputFiles) {
    const name = basename(file.path).replace(/\.js(\.map)?$/, '$1');
    const isProgram = !/\.(js|map)$/.test(name);
    replaceFile(join(root, 'bin', name), file.contents, isProgram ? 0o755 : 0o644);
  }
  replaceFile(join(root, 'bin', basename(GUARD)), readFileSync(join(root, GUARD)), 0o755);
  replaceFile(
    join(root, BUNDLED),
    `${JSON.stringify(npmPackages(result.metafile), null, 2)}\n`,
    0o644,
  );
}

/**
 * Program -> the folders of the npm packages of which something is in its bundle: a package's
 * copyright file has to name them.
 */
function npmPackages({ outputs }) {
  const bundles = Object.entries(outputs).filter(([path]) => !path.endsWith('.map'));
  const found = bundles.map(([path, { inputs }]) => {
    const folders = Object.entries(inputs)
      .filter(([, { bytesInOutput }]) => bytesInOutput > 0)
      .map(([input]) => /^(.*\bnode_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(input)?.[1])
      .filter((folder) => folder !== undefined);
    return [basename(path, '.js'), [...new Set(folders)].sort()];
  });
  return Object.fromEntries(found);
}

await runMain(async () => {
  const { quiet } = parseArguments(
    import.meta.url,
    { quiet: { type: 'boolean' } },
    { allowPositionals: false },
  ).values;
  const programs = findPrograms();
  const isBuilt = () =>
    [
      BUNDLED,
      ...Object.keys(programs).flatMap((name) => [`bin/${name}`, `bin/${name}.map`]),
      join('bin', basename(GUARD)),
    ].every((path) => existsSync(join(root, path))) &&
    isCurrent(STAMP, inputsFingerprint(programs));
  if (!isBuilt()) {
    return locked('build', async () => {
      if (isBuilt()) return 0;
      const print = inputsFingerprint(programs);
      await build(programs);
      writeStamp(STAMP, print);
      if (!quiet)
        say(
          `Built ${Object.keys(programs)
            .map((name) => `bin/${name}`)
            .join(', ')}`,
        );
      return 0;
    });
  }
  if (!quiet) say('bin/ is current.');
  return 0;
});
