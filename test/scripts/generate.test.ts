/** The manuals say what the declarations say, or a test fails. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { EXIT_STATUSES } from '../../cli/exit.ts';
import { loadConfig, type OptionTable } from '../../runtime/config.ts';
import { DAEMON_EXIT_STATUSES, type ExitStatus } from '../../runtime/exit-statuses.ts';
import { logOptions } from '../../runtime/log-options.ts';
import { sectionOptions } from '../../runtime/options.ts';
import { exampleOf, readDaemons } from '../../scripts/generate/declarations.ts';
import { mdoc } from '../../scripts/generate/mdoc.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'vmic-generate-'));
after(() => fs.rmSync(folder, { recursive: true }));

const generate = (where: string, ...args: string[]) =>
  spawnSync(process.execPath, ['--import', 'tsx', 'scripts/generate.ts', ...args], {
    cwd: where,
    encoding: 'utf8',
  });

const daemons = await readDaemons(root);

it('generated texts are current; "npm run generate" writes them', () => {
  const { status, stderr } = generate(root, '--check');
  assert.deepEqual({ status, stderr }, { status: 0, stderr: '' });
});

it('a declaration that changes makes them out of date', () => {
  const copy = path.join(folder, 'copy');
  const kinds = /\.(ts|json)$/;
  for (const name of ['protocol', 'native', 'runtime', 'daemons', 'cli', 'scripts'])
    fs.cpSync(path.join(root, name), path.join(copy, name), {
      recursive: true,
      filter: (file) => fs.statSync(file).isDirectory() || kinds.test(file),
    });
  for (const name of ['docs', 'packaging/man', 'package.json', 'tsconfig.json'])
    fs.cpSync(path.join(root, name), path.join(copy, name), { recursive: true });
  fs.symlinkSync(path.join(root, 'node_modules'), path.join(copy, 'node_modules'));
  assert.equal(generate(copy, '--check').status, 0);

  const change = (name: string, from: string, to: string): void => {
    const file = path.join(copy, name);
    const text = fs.readFileSync(file, 'utf8');
    assert.ok(text.includes(from), `${name} holds ${from}`);
    fs.writeFileSync(file, text.replace(from, to));
  };
  change('daemons/vss/options.ts', 'default: 60,', 'default: 61,');
  change('cli/exit.ts', "'permission denied'", "'not permitted'");
  const { status, stderr } = generate(copy, '--check');
  assert.equal(status, 1);
  for (const name of ['docs/configuration.md', 'docs/exit-statuses.md', 'vmic-config.5'])
    assert.ok(stderr.includes(`${name} is out of date`), stderr);
  assert.equal(
    fs.readFileSync(path.join(copy, 'docs/configuration.md'), 'utf8').includes('61'),
    false,
  );

  assert.equal(generate(copy).status, 0);
  assert.equal(generate(copy, '--check').status, 0);
  const page = fs.readFileSync(path.join(copy, 'docs/configuration.md'), 'utf8');
  assert.match(page, /### `vss\.limit_secs`\n[^#]*- Default: `61`\n/);
  const man = fs.readFileSync(path.join(copy, 'packaging/man/vmic-config.5'), 'utf8');
  assert.match(man, /^\.It Cm limit_secs = 61$/m);
});

describe('declarations', () => {
  it('name program and section by their folder', () => {
    assert.ok(daemons.length >= 6);
    const named = daemons.map(({ name, section }) => [name, section]);
    assert.deepEqual(
      named,
      daemons.map(({ section }) => [`vmic-${section}`, section]),
    );
    const folders = fs
      .readdirSync(path.join(root, 'daemons'))
      .filter((name) => fs.existsSync(path.join(root, 'daemons', name, 'main.ts')));
    assert.deepEqual(daemons.map(({ section }) => section).sort(), folders.sort());
  });

  const tables: Readonly<Record<string, OptionTable>> = {
    log: logOptions,
    ...Object.fromEntries(daemons.map((daemon) => [daemon.section, sectionOptions(daemon)])),
  };

  it('have examples that can be loaded, and defaults that pass their own check', async () => {
    const file = path.join(folder, 'examples.toml');
    const texts = Object.entries(tables).map(([section, table]) => exampleOf(section, table));
    fs.writeFileSync(file, texts.join('\n\n'));
    const config = await loadConfig({ file, required: true, overrides: [] }, tables);
    for (const [section, table] of Object.entries(tables)) {
      for (const [key, option] of Object.entries(table))
        assert.deepEqual(
          config[section]![key],
          option.example ?? option.default,
          `${section}.${key}`,
        );
    }
    const defaults = path.join(folder, 'defaults.toml');
    fs.writeFileSync(
      defaults,
      Object.entries(tables)
        .map(([section, table]) =>
          [
            `[${section}]`,
            ...Object.entries(table).map(
              ([key, option]) => `${key} = ${JSON.stringify(option.default)}`,
            ),
          ].join('\n'),
        )
        .join('\n'),
    );
    await loadConfig({ file: defaults, required: true, overrides: [] }, tables);
  });

  it('explain each key in short sentences', () => {
    for (const [section, table] of Object.entries(tables)) {
      for (const [key, { help }] of Object.entries(table)) {
        assert.match(help, /^[A-Z`].*[."]$/s, `${section}.${key}`);
        for (const sentence of help.split(/(?<=[.]) /))
          assert.ok(sentence.split(' ').length <= 25, `${section}.${key}: ${sentence}`);
      }
    }
  });

  it('are listed by --help of each daemon', () => {
    for (const { name, section } of daemons) {
      const { stdout } = spawnSync(process.execPath, [path.join(root, 'bin', name), '--help'], {
        encoding: 'utf8',
      });
      const listed = [...stdout.matchAll(/^ {2}(\w+\.\w+) = (.*)$/gm)].map(([, key, value]) => [
        key,
        JSON.parse(value!),
      ]);
      const declared = ['log', section].flatMap((part) =>
        Object.entries(tables[part]!).map(([key, option]) => [`${part}.${key}`, option.default]),
      );
      assert.deepEqual(listed, declared, name);
      for (const line of stdout.slice(stdout.indexOf('Keys of')).split('\n'))
        assert.ok(line.length <= 79, line);
    }
  });
});

describe('exit statuses', () => {
  const listed = (page: string): number[] => {
    const text = fs.readFileSync(path.join(root, 'packaging/man', page), 'utf8');
    const [, part = ''] = /^\.Sh EXIT STATUS\n(.*?)^\.Sh /ms.exec(text) ?? [];
    return [...part.matchAll(/^\.It (\d+)$/gm)].map(([, status]) => Number(status));
  };
  const numbers = (statuses: Readonly<Record<string, ExitStatus>>): number[] =>
    Object.values(statuses).map(({ status }) => status);

  it('of the command are those of vmic(1)', () => {
    assert.deepEqual(listed('vmic.1'), numbers(EXIT_STATUSES));
  });

  for (const { name } of daemons) {
    it(`of the daemons are those of ${name}(8)`, () => {
      assert.deepEqual(listed(`${name}.8`), numbers(DAEMON_EXIT_STATUSES));
    });
  }
});

it('man pages have sentences and code on lines of their own', () => {
  assert.deepEqual(mdoc('One `a "b"`, see vmic-kvp(8). A \\ (`--x`).'), [
    'One',
    '.Cm a \\(dqb\\(dq ,',
    'see',
    '.Xr vmic-kvp 8 .',
    'A \\e',
    '.Cm ( --x ) .',
  ]);
});
