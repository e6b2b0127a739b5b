/**
 * Packages as built by the commands of package.json: the same twice, complete, and what is in them
 * runs.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { installedIn, loadsAddon, startsGuard } from './installed.ts';
import { skipWithout } from './programs.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const { version } = JSON.parse(fs.readFileSync(path.join(root, 'package.json'), 'utf8')) as {
  version: string;
};

const work = fs.mkdtempSync(path.join(os.tmpdir(), 'vmic-packages-'));
after(() => fs.rmSync(work, { recursive: true, force: true }));

interface Outcome {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}
function run(
  program: string,
  args: readonly string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv } = {},
): Outcome {
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
    ...options,
  });
  if (error !== undefined) throw error;
  return { status, stdout, stderr };
}
function succeed(
  program: string,
  args: readonly string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv } = {},
): string {
  const { status, stdout, stderr } = run(program, args, options);
  assert.equal(status, 0, `${program} ${args.join(' ')}\n${stdout}${stderr}`);
  return stdout;
}
const sha256 = (file: string): string =>
  createHash('sha256').update(fs.readFileSync(file)).digest('hex');

/** A copy of this tree as a fresh clone would be, but for the npm packages, which are linked. */
function copyTree(name: string): string {
  const folder = path.join(work, name);
  const files = succeed('git', ['ls-files', '--cached', '--others', '--exclude-standard', '-z'])
    .split('\0')
    .filter(Boolean);
  for (const file of files) {
    if (!fs.existsSync(path.join(root, file))) continue;
    fs.cpSync(path.join(root, file), path.join(folder, file), { recursive: true });
  }
  succeed('cp', ['-al', path.join(root, 'node_modules'), path.join(folder, 'node_modules')]);
  // Fetched once, and checked by its hash each time it is
  const cached = path.join(root, '.cache/package');
  for (const entry of fs.existsSync(cached) ? fs.readdirSync(cached) : []) {
    if (!entry.startsWith('node-')) continue;
    fs.cpSync(path.join(cached, entry), path.join(folder, '.cache/package', entry), {
      recursive: true,
    });
  }
  return folder;
}

/** Both builds are of this time: a copy has no commits. */
const SOURCE_DATE_EPOCH = succeed('git', ['log', '-1', '--format=%ct']).trim();
const build = (tree: string, kind: 'deb' | 'rpm', ...args: string[]): void => {
  succeed('npm', ['run', '--silent', `package:${kind}`, '--', ...args], {
    cwd: tree,
    env: { ...process.env, SOURCE_DATE_EPOCH },
  });
};

describe('Debian and RPM packages', {
  skip: skipWithout('dpkg-deb', 'rpmbuild', 'git', 'npm'),
}, () => {
  let first: string;
  let second: string;
  const files = (tree: string): string[] => fs.readdirSync(path.join(tree, 'dist')).sort();
  const packagesIn = (tree: string): string[] =>
    files(tree).filter((name) => /\.(deb|rpm)$/.test(name));
  const dist = (name: string): string => path.join(first, 'dist', name);

  before(() => {
    first = copyTree('first');
    // Another name, another length: a path in a result would be another one
    second = copyTree('the-second-of-them');
    for (const tree of [first, second]) {
      build(tree, 'deb', '--flavour', 'vmic');
      build(tree, 'rpm', '--flavour', 'vmic');
    }
    build(first, 'deb', '--flavour', 'vmic-bundled-node', '--arch', 'amd64');
    build(second, 'deb', '--flavour', 'vmic-bundled-node', '--arch', 'amd64');
  });

  test('one command each makes them for both architectures', () => {
    assert.deepEqual(files(first), [
      `vmic-${version}-1.aarch64.rpm`,
      `vmic-${version}-1.x86_64.rpm`,
      // Of the programs in all of them.
      `vmic-${version}.maps.tgz`,
      `vmic-bundled-node_${version}_amd64.deb`,
      `vmic_${version}_amd64.deb`,
      `vmic_${version}_arm64.deb`,
    ]);
  });

  test('two builds are identical', () => {
    assert.deepEqual(files(second), files(first));
    for (const file of files(first))
      assert.equal(sha256(path.join(second, 'dist', file)), sha256(dist(file)), file);
  });

  test('lintian has nothing to say', { skip: skipWithout('lintian') }, () => {
    const packages = files(first)
      .filter((name) => name.endsWith('.deb'))
      .map(dist);
    const { status, stdout } = run('lintian', ['--fail-on', 'error,warning', ...packages]);
    assert.deepEqual({ status, stdout }, { status: 0, stdout: '' });
  });

  test('rpmlint has nothing to say', { skip: skipWithout('rpmlint') }, () => {
    const packages = files(first)
      .filter((name) => name.endsWith('.rpm'))
      .map(dist);
    const { status, stdout } = run('rpmlint', ['-c', 'packaging/rpm/rpmlint.toml', ...packages]);
    assert.equal(status, 0, stdout);
    assert.match(stdout, / 0 errors, 0 warnings/);
  });

  /** Unpacks a package, once; gives the folder. */
  function unpack(file: string): string {
    const folder = path.join(work, `unpacked-${path.basename(file)}`);
    if (fs.existsSync(folder)) return folder;
    fs.mkdirSync(folder);
    if (file.endsWith('.deb')) succeed('dpkg-deb', ['-x', file, folder]);
    else succeed('sh', ['-c', 'rpm2cpio "$1" | cpio --quiet -idm', 'sh', file], { cwd: folder });
    return folder;
  }
  const tree = (folder: string): string[] =>
    fs
      .readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((name) => !fs.lstatSync(path.join(folder, name)).isDirectory());

  test('the same files in both formats, each for its architecture', {
    skip: skipWithout('rpm2cpio', 'cpio', 'readelf'),
  }, () => {
    const machines: Record<string, string> = {
      amd64: 'X86-64',
      arm64: 'AArch64',
      x86_64: 'X86-64',
      aarch64: 'AArch64',
    };
    const isCommon = (name: string): boolean => !/^usr\/share\/(doc|lintian|zsh)\//.test(name);
    const lists = packagesIn(first)
      .filter((name) => !name.includes('bundled'))
      .map((name) => {
        const folder = unpack(dist(name));
        const arch = /[._]([a-z0-9_]+)\.(deb|rpm)$/.exec(name.replace(`vmic_${version}`, ''))![1]!;
        assert.ok(
          succeed('readelf', ['-h', path.join(folder, 'usr/lib/vmic/vmic.node')]).includes(
            machines[arch]!,
          ),
          name,
        );
        return tree(folder).filter(isCommon).sort();
      });
    for (const list of lists) assert.deepEqual(list, lists[0]);
    assert.ok(
      !lists[0]!.some((name) => name.includes('node_modules') || name.includes('simulate')),
    );
  });

  test('nothing tells where it was built', () => {
    for (const name of packagesIn(first)) {
      const folder = unpack(dist(name));
      for (const file of tree(folder)) {
        const full = path.join(folder, file);
        if (fs.lstatSync(full).isSymbolicLink() || file.endsWith('lib/vmic/node')) continue;
        const content = fs.readFileSync(full);
        // An example may speak of root's home, which is the builder's where root builds
        const places = [work, root, ...(file.includes('/examples/') ? [] : [os.homedir()])];
        for (const place of places)
          assert.ok(!content.includes(`${place}/`), `${name}: ${file} names ${place}`);
      }
    }
  });

  test('the copyright file names each npm package that is in a bundle, with its licence', () => {
    const bundled = JSON.parse(
      fs.readFileSync(path.join(first, 'bin/.bundled.json'), 'utf8'),
    ) as Record<string, string[]>;
    const doc = path.join(
      work,
      `unpacked-vmic_${version}_amd64.deb`,
      'usr/share/doc/vmic/copyright',
    );
    const text = fs.readFileSync(doc, 'utf8');
    const folders = new Set(Object.values(bundled).flat());
    assert.ok(folders.size > 10);
    for (const folder of folders) {
      const info = JSON.parse(fs.readFileSync(path.join(root, folder, 'package.json'), 'utf8')) as {
        name: string;
        version: string;
      };
      assert.ok(text.includes(`contains ${info.name} ${info.version},`), folder);
    }
  });

  test('control data: what it depends on, and what it takes the place of', () => {
    const field = (file: string, name: string): string =>
      succeed('dpkg-deb', ['-f', dist(file), name]).trim();
    const own = `vmic_${version}_amd64.deb`;
    assert.match(field(own, 'Depends'), /\bnodejs \(>= 20\.19\)/);
    assert.doesNotMatch(field(`vmic-bundled-node_${version}_amd64.deb`, 'Depends'), /nodejs/);
    for (const relation of ['Conflicts', 'Replaces', 'Provides']) {
      for (const other of [
        'hyperv-daemons',
        'linux-cloud-tools-common',
        'hypervkvpd',
        'hypervvssd',
        'hypervfcopyd',
      ]) {
        assert.ok(field(own, relation).split(', ').includes(other), `${relation}: ${other}`);
      }
    }
    const requires = succeed('rpm', ['-qp', '--requires', dist(`vmic-${version}-1.x86_64.rpm`)]);
    assert.match(requires, /nodejs >= 1:20\.19/);
    const conflicts = succeed('rpm', ['-qp', '--conflicts', dist(`vmic-${version}-1.x86_64.rpm`)]);
    assert.match(conflicts, /^hypervkvpd$/m);
  });

  test('programs run where they are unpacked', () => {
    const folder = path.join(work, `unpacked-vmic_${version}_amd64.deb`);
    const programs = fs.readdirSync(path.join(folder, 'usr/bin'));
    assert.ok(programs.includes('vmic') && programs.includes('vmic-kvp'));
    for (const program of programs) {
      const said = succeed(process.execPath, [path.join(folder, 'usr/bin', program), '--version']);
      assert.match(said, new RegExp(`\\b${version.replaceAll('.', '\\.')}\\b`));
    }
    assert.match(
      fs.readFileSync(path.join(folder, 'usr/bin/vmic-kvp'), 'utf8'),
      /^#!\/usr\/bin\/node\n/,
    );
    // With the addon: pools in a folder of our own
    const pools = path.join(work, 'pools');
    fs.mkdirSync(pools);
    const vmic = (...args: string[]): string =>
      succeed(process.execPath, [
        path.join(folder, 'usr/bin/vmic'),
        'kvp',
        ...args,
        '--pool-directory',
        pools,
      ]);
    if (process.arch === 'x64') {
      vmic('set', 'Ready', 'yes');
      assert.equal(vmic('get', 'Ready'), 'yes\n');
    }
  });

  const INSTALLED: Readonly<Record<string, () => string>> = {
    deb: () => unpack(dist(`vmic_${version}_amd64.deb`)),
    rpm: () => unpack(dist(`vmic-${version}-1.x86_64.rpm`)),
    tree: () => {
      const folder = path.join(work, 'tree');
      succeed('npm', ['run', '--silent', 'package:tree', '--', folder], { cwd: first });
      return folder;
    },
  };
  for (const [way, install] of Object.entries(INSTALLED)) {
    test(`${way}: the addon is loaded, and the guard starts`, {
      skip:
        process.arch === 'x64'
          ? way === 'rpm' && skipWithout('rpm2cpio', 'cpio')
          : 'the packages are for amd64',
    }, async () => {
      const installed = installedIn(path.join(install(), 'usr/bin'));
      loadsAddon(installed);
      await startsGuard(installed);
    });
  }

  test('with its own Node.js', {
    skip: process.arch !== 'x64' && 'the package is for amd64',
  }, () => {
    const folder = path.join(work, `unpacked-vmic-bundled-node_${version}_amd64.deb`);
    const node = path.join(folder, 'usr/lib/vmic/node');
    assert.match(succeed(node, ['--version']), /^v24\./);
    succeed(node, [path.join(folder, 'usr/lib/vmic/vmic'), '--version']);
    assert.match(
      fs.readFileSync(path.join(folder, 'usr/lib/vmic/vmic-kvp'), 'utf8'),
      /^#!\/usr\/lib\/vmic\/node\n/,
    );
    const pools = path.join(work, 'pools-of-24');
    fs.mkdirSync(pools);
    const set = ['kvp', 'set', 'Ready', 'yes', '--pool-directory', pools];
    succeed(node, [path.join(folder, 'usr/bin/vmic'), ...set]);
    const text = fs.readFileSync(
      path.join(folder, 'usr/share/doc/vmic-bundled-node/copyright'),
      'utf8',
    );
    assert.ok(text.includes('Node.js is licensed for use as follows') && text.includes('OpenSSL'));
  });
});
