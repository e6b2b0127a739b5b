/**
 * Makes the files of a release in dist/release: packages, the npm package, a list of components
 * (SBOM), checksums, and what the changelog says. Checks first that this commit can be released.
 * Pushes nothing, tags nothing, publishes nothing.
 */

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { capture, Failure, root, run, runMain, say } from './support.mjs';

const USAGE = `\
usage: node scripts/release.mjs [--check] [--arch ARCH]... [--flavour FLAVOUR]...
  --check      only check that this commit can be released
  --arch       packages for amd64 or arm64; repeatable, default both
  --flavour    packages vmic or vmic-bundled-node; repeatable, default both
  --help       print this help
Exit status: 0 done, 1 something is missing or failed, 2 wrong usage.
`;

const OUT = 'dist/release';
const SEMVER = /^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$/;

const git = (...args) => capture('git', args)?.trimEnd();
const readJson = (file) => JSON.parse(readFileSync(join(root, file), 'utf8'));

/** The changelog's section of a version, without the heading. Undefined when there is none. */
export function changelogSection(changelog, version) {
  const sections = changelog.split(/^(?=## )/m);
  const heading = new RegExp(`^## \\[${version.replaceAll('.', '\\.')}\\] - \\d{4}-\\d{2}-\\d{2}$`);
  const section = sections.find((text) => heading.test(text.split('\n', 1)[0]));
  return section?.slice(section.indexOf('\n') + 1).trim();
}

/** Everything that must hold before a release. Returns the version and its notes. */
function check() {
  const { version } = readJson('package.json');
  const problems = [];
  if (!SEMVER.test(version)) problems.push(`package.json: "${version}" is not a version`);
  if (readJson('package-lock.json').version !== version) {
    problems.push(
      `package-lock.json is not of version ${version}: npm install --package-lock-only`,
    );
  }
  const status = git('status', '--porcelain');
  if (status === undefined) problems.push('this is not a clone: git status failed');
  else if (status !== '') problems.push(`the tree has changes that are not committed:\n${status}`);
  const notes = changelogSection(readFileSync(join(root, 'CHANGELOG.md'), 'utf8'), version);
  if (notes === undefined)
    problems.push(`CHANGELOG.md has no section "## [${version}] - YYYY-MM-DD"`);
  else if (notes === '') problems.push(`CHANGELOG.md says nothing about ${version}`);
  const tagged = git('rev-parse', '--quiet', '--verify', `refs/tags/v${version}^{commit}`);
  if (tagged && tagged !== git('rev-parse', 'HEAD')) {
    problems.push(
      `the tag v${version} is at another commit (${tagged.slice(0, 12)}): raise the version`,
    );
  }
  if (problems.length > 0) throw new Failure(problems.join('\n'));
  return { version, notes };
}

/** Runs a script of package.json with a dist/ of its own, and moves what it made to the release. */
function build(script, args) {
  const before = new Set(existsSync(join(root, 'dist')) ? readdirSync(join(root, 'dist')) : []);
  run('npm', ['run', '--silent', script, '--', ...args]);
  const made = readdirSync(join(root, 'dist')).filter(
    (name) => /\.(deb|rpm|maps\.tgz)$/.test(name) && !before.has(name),
  );
  if (made.length === 0) throw new Failure(`npm run ${script} made no new file in dist/`);
  for (const name of made) renameSync(join(root, 'dist', name), join(root, OUT, name));
}

/** Packages of an earlier build would be taken for those of this one. */
function removeOldPackages() {
  rmSync(join(root, OUT), { recursive: true, force: true });
  mkdirSync(join(root, OUT), { recursive: true });
  for (const name of readdirSync(join(root, 'dist'))) {
    if (/\.(deb|rpm|maps\.tgz)$/.test(name)) rmSync(join(root, 'dist', name));
  }
}

/**
 * The components that are part of what is released, by npm from the lock file, in CycloneDX's form.
 * npm puts in the time and a random number. Here both follow from the commit, so that two builds of
 * it are the same.
 */
async function componentList(epochSecs) {
  const text = capture('npm', [
    'sbom',
    '--sbom-format',
    'cyclonedx',
    '--omit',
    'dev',
    '--package-lock-only',
  ]);
  if (text === undefined) throw new Failure('npm sbom failed: it takes npm 9.5 or newer');
  const list = JSON.parse(text);
  const { BUNDLED_NODE } = await import('../packaging/contents.mjs');
  // By npm it has the name of this folder.
  list.metadata.component.name = readJson('package.json').name;
  list.metadata.timestamp = new Date(epochSecs * 1000).toISOString();
  // The tool's version is that of the builder's npm.
  delete list.metadata.tools;
  list.components.push({
    'bom-ref': `node@${BUNDLED_NODE.version}`,
    type: 'application',
    name: 'node',
    version: BUNDLED_NODE.version,
    description: 'Node.js, in the packages vmic-bundled-node alone',
    purl: `pkg:generic/node@${BUNDLED_NODE.version}`,
  });
  delete list.serialNumber;
  const hex = sha256(JSON.stringify(list)).slice(0, 32);
  const uuid = hex.replace(/^(.{8})(.{4}).(.{3}).(.{3})(.{12})$/, '$1-$2-5$3-a$4-$5');
  return `${JSON.stringify({ ...list, serialNumber: `urn:uuid:${uuid}` }, null, 2)}\n`;
}

const sha256 = (content) => createHash('sha256').update(content).digest('hex');

async function main() {
  let values;
  try {
    ({ values } = parseArgs({
      options: {
        check: { type: 'boolean', default: false },
        arch: { type: 'string', multiple: true, default: [] },
        flavour: { type: 'string', multiple: true, default: [] },
        help: { type: 'boolean', short: 'h', default: false },
      },
    }));
  } catch (thrown) {
    const error = /** @type {Error} */ (thrown);
    say(`${error.message}\n${USAGE.trimEnd()}`);
    return 2;
  }
  if (values.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  const { version, notes } = check();
  if (values.check) {
    say(`${version} can be released.`);
    return 0;
  }
  removeOldPackages();
  const choice = [
    ...values.arch.map((arch) => `--arch=${arch}`),
    ...values.flavour.map((one) => `--flavour=${one}`),
  ];
  build('package:deb', choice);
  const said = capture(process.execPath, ['bin/vmic', '--version'])?.trim();
  if (!said?.endsWith(version))
    throw new Failure(`bin/vmic --version says "${said}", not ${version}`);
  build('package:rpm', choice);
  run('npm', ['pack', '--silent', '--pack-destination', join(root, OUT)]);
  const put = (name, content) => writeFileSync(join(root, OUT, name), content);
  put(`vmic-${version}.cdx.json`, await componentList(Number(git('log', '-1', '--format=%ct'))));
  put('NOTES.md', `${notes}\n`);
  const files = readdirSync(join(root, OUT)).sort();
  put(
    'SHA256SUMS',
    files.map((name) => `${sha256(readFileSync(join(root, OUT, name)))}  ${name}\n`).join(''),
  );
  // What a reader of the release does first.
  const { status } = spawnSync('sha256sum', ['--check', '--quiet', 'SHA256SUMS'], {
    cwd: join(root, OUT),
    stdio: 'inherit',
  });
  if (status !== 0) throw new Failure(`${OUT}/SHA256SUMS does not fit`);
  // A build must not leave anything behind that git does not ignore.
  if (git('status', '--porcelain') !== '')
    throw new Failure('the build changed the tree: git status');
  say(
    `${version} is in ${OUT}: ${files.length + 1} files. docs/releasing.md says what comes next.`,
  );
  return 0;
}

if (process.argv[1] === import.meta.filename) await runMain(main);
