/** What packages hold, against what there is: nothing of the project may be missing there. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const read = (...parts: string[]): string => fs.readFileSync(path.join(root, ...parts), 'utf8');
const run = (program: string, ...args: string[]) =>
  spawnSync(program, args, { cwd: root, encoding: 'utf8' });
const missing = (program: string, ...args: string[]): string | false =>
  run(program, ...args).error === undefined ? false : `${program} is not installed`;

interface Contents {
  readonly SERVICES: readonly {
    readonly name: string;
    readonly daemon?: string;
    readonly units: readonly string[];
  }[];
  readonly PROGRAMS: readonly string[];
  readonly INSTALLED_UNITS: readonly string[];
  readonly C_UNITS: readonly string[];
  readonly FOLDERS: readonly string[];
  readonly DOCUMENTS: readonly string[];
}
// Plain JavaScript, since it runs before anything is installed
const { SERVICES, PROGRAMS, INSTALLED_UNITS, C_UNITS, FOLDERS, DOCUMENTS } = (await import(
  path.join(root, 'packaging/contents.mjs')
)) as Contents;

test('every program is part of the packages', () => {
  const built = fs.readdirSync(path.join(root, 'daemons')).filter((name) => {
    return fs.existsSync(path.join(root, 'daemons', name, 'main.ts'));
  });
  assert.deepEqual([...PROGRAMS].sort(), ['vmic', ...built.map((name) => `vmic-${name}`)].sort());
});

test('the C daemons are replaced under every name', () => {
  const spellings = (name: string): string[] => [`hv-${name}-daemon`, `hv_${name}_daemon`];
  const all = [
    ...[...spellings('kvp'), 'hypervkvpd'],
    ...[...spellings('vss'), 'hypervvssd'],
    ...[...spellings('fcopy'), 'hypervfcopyd', 'hv-fcopy-uio-daemon'],
  ];
  assert.deepEqual([...C_UNITS].sort(), all.sort());
  for (const { name, daemon, units } of SERVICES) {
    if (!['kvp', 'vss', 'fcopy'].includes(name)) continue;
    assert.equal(daemon, `hv_${name}_daemon`);
    assert.ok(units.length >= 3);
  }
});

test('folders that the configuration names by default are there', () => {
  const page = read('packaging/man/vmic-config.5');
  const named = [...page.matchAll(/^\.It Cm \w+ = .*\/etc\/vmic\/(\w+\.d)\b/gm)].map(
    ([, name]) => name,
  );
  assert.ok(named.length >= 3);
  for (const name of named) assert.ok(FOLDERS.includes(`etc/vmic/${name}`), name);
});

test('documents for users are part of the packages, and are named by the README', () => {
  const readme = read('README.md');
  for (const name of DOCUMENTS) {
    assert.ok(fs.existsSync(path.join(root, 'docs', name)), name);
    assert.ok(readme.includes(`docs/${name}`), name);
  }
  for (const { name } of SERVICES) assert.ok(DOCUMENTS.includes(`${name}.md`), name);
});

test(
  'no unit takes these names by Alias=, which an old mask would make fail: the package has ' +
    'links',
  () => {
    for (const unit of fs.readdirSync(path.join(root, 'systemd'))) {
      assert.doesNotMatch(read('systemd', unit), /^Alias=/m, unit);
    }
  },
);

test('presets say of each unit whether an installation enables it', () => {
  const lines = read('systemd/80-vmic.preset').split('\n');
  for (const unit of INSTALLED_UNITS) {
    assert.equal(
      lines.filter((line) => /^(enable|disable) /.test(line) && line.endsWith(` ${unit}`)).length,
      1,
      unit,
    );
  }
});

describe('man pages', () => {
  const folder = path.join(root, 'packaging/man');
  const pages = fs.readdirSync(folder);

  test('every program has one', () => {
    for (const program of PROGRAMS) {
      assert.ok(pages.includes(program === 'vmic' ? 'vmic.1' : `${program}.8`), program);
    }
  });

  test('and is named by that of the command', () => {
    for (const program of PROGRAMS.slice(1))
      assert.match(read('packaging/man/vmic.1'), new RegExp(`^\\.Xr ${program} 8`, 'm'));
  });

  /** Arguments of the macros that name options and commands. */
  const words = (page: string): Set<string> =>
    new Set(
      page
        .split('\n')
        .filter((line) => line.startsWith('.'))
        .flatMap((line) => line.split(/[\s,()=]+/)),
    );

  test('every command is described', () => {
    const known = words(read('packaging/man/vmic.1'));
    const visit = (command: readonly string[]): number => {
      const { stdout } = run(process.execPath, 'bin/vmic', ...command, '--help');
      const commands = stdout.slice(stdout.indexOf('Commands:'), stdout.indexOf('\nOptions:'));
      const found = [
        ...commands.matchAll(new RegExp(`^  ${['vmic', ...command].join(' ')} ([a-z-]+)`, 'gm')),
      ];
      for (const [, word] of found) {
        assert.ok(known.has(word!), [...command, word].join(' '));
        visit([...command, word!]);
      }
      return found.length;
    };
    assert.ok(visit([]) >= 5);
  });

  test('every option of the daemons is described', () => {
    for (const program of PROGRAMS.slice(1)) {
      const { stdout } = run(process.execPath, `bin/${program}`, '--help');
      const options = [...stdout.matchAll(/^ {2}(?:-\w, | {4})--([\w-]+)/gm)].map(
        ([, name]) => name!,
      );
      assert.ok(options.length >= 7, stdout);
      const known = words(read(`packaging/man/${program}.8`));
      for (const option of options) assert.ok(known.has(`-${option}`), `${program} --${option}`);
    }
  });

  for (const { name } of SERVICES) {
    test(`every key of section ${name} is described`, () => {
      const { stderr } = run(
        process.execPath,
        `bin/vmic-${name}`,
        '--set',
        `${name}.no_such_key=1`,
      );
      const keys = /there are ([\w, ]+)/.exec(stderr)?.[1]?.split(', ');
      assert.ok(keys !== undefined && keys.length > 0, stderr);
      const page = read('packaging/man/vmic-config.5');
      // Keys that each service has are described once, before the sections
      const [everywhere, ...sections] = page.split(/^\.Ss /m);
      const section = sections.find((part) => part.startsWith(`Section ${name}\n`));
      assert.ok(section !== undefined, name);
      for (const key of keys)
        assert.match(everywhere + section, new RegExp(`^\\.It Cm ${key} = `, 'm'));
    });
  }

  for (const page of pages) {
    test(`mandoc has nothing to say about ${page}`, { skip: missing('mandoc', '-h') }, () => {
      const { stdout } = run('mandoc', '-Tlint', '-Wstyle', path.join(folder, page));
      const said = stdout
        .split('\n')
        .filter((line) => line !== '' && !line.includes('referenced manual not found'));
      assert.deepEqual(said, []);
    });
    test(`groff has nothing to say about ${page}`, { skip: missing('man', '--version') }, () => {
      const { stderr, status } = spawnSync(
        'man',
        ['--warnings', '-E', 'UTF-8', '-l', '-Tutf8', '-Z', path.join(folder, page)],
        {
          encoding: 'utf8',
          env: { ...process.env, LC_ALL: 'C.UTF-8', MANROFFSEQ: '', MANWIDTH: '80' },
        },
      );
      assert.deepEqual({ status, stderr }, { status: 0, stderr: '' });
    });
  }
});

describe('shell scripts', () => {
  const scripts = [
    'openrc/vmic',
    ...['preinst', 'postinst', 'prerm', 'postrm'].map((name) => `debian/${name}`),
  ];
  const spec = read('packaging/rpm/vmic.spec').split(/^%/m);
  const scriptlets = ['pre', 'post', 'preun', 'postun'].map((name) => {
    const section = spec.find((text) => text.startsWith(`${name}\n`));
    assert.ok(section !== undefined, name);
    return [`rpm %${name}`, section.slice(name.length + 1)] as const;
  });
  /** Name -> text, with the lists that packaging fills in. */
  const texts = [
    ...scripts.map((script) => [script, read('packaging', script)] as const),
    ...scriptlets,
  ].map(([name, text]) => [name, text.replace(/@[A-Z_]+@/g, 'a.service b.service')] as const);
  const shells = [
    ['dash', '-n'],
    ['busybox', 'sh', '-n'],
    ['shellcheck', '-s', 'sh'],
  ] as const;
  for (const [script, text] of texts) {
    for (const [shell, ...args] of shells) {
      test(`${shell} reads ${script}`, { skip: missing(shell, '--help') }, () => {
        const file = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'vmic-script-')), 'script');
        fs.writeFileSync(file, text);
        const { status, stdout, stderr } = run(shell, ...args, file);
        fs.rmSync(path.dirname(file), { recursive: true });
        assert.deepEqual({ status, stdout, stderr }, { status: 0, stdout: '', stderr: '' });
      });
    }
  }
});
