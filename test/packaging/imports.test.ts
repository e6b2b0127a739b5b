import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** The directions imports must not take, one line each: [importing file, imported]. */
const forbidden: readonly [string, string][] = [
  ['protocol/ic/a.ts', 'node:fs'],
  ['protocol/ic/b.ts', 'pino'],
  ['protocol/ic/c.ts', '../../native/index.ts'],
  ['protocol/services/d.ts', '../../runtime/log.ts'],
  ['native/a.ts', '../protocol/ic/status.ts'],
  ['native/b.ts', '../runtime/log.ts'],
  ['runtime/a.ts', '../daemons/kvp/service.ts'],
  ['runtime/b.ts', '../daemons/kvp/pools/index.ts'],
  ['runtime/sessions/d.ts', '../../daemons/kvp/service.ts'],
  ['daemons/heartbeat/a.ts', '../shutdown/service.ts'],
  ['runtime/c.ts', '../test/cli/run.ts'],
  ['daemons/kvp/a.ts', '../vss/service.ts'],
  ['daemons/kvp/b.ts', '../../daemons/vss/service.ts'],
  ['daemons/kvp/deep/c.ts', '../../vss/service.ts'],
  ['daemons/kvp/d.ts', '../../cli/main.ts'],
  ['cli/a.ts', '../daemons/kvp/service.ts'],
  ['cli/b.ts', '../test/cli/run.ts'],
];

const allowed: readonly [string, string][] = [
  ['protocol/ic/e.ts', '../layout/struct.ts'],
  ['native/c.ts', 'node:module'],
  ['runtime/e.ts', '../protocol/ic/status.ts'],
  ['daemons/kvp/e.ts', '../../runtime/log.ts'],
  ['daemons/kvp/f.ts', './pools/index.ts'],
  ['daemons/kvp/g.ts', '../../native/interface.ts'],
  ['daemons/kvp/deep/h.ts', '../service.ts'],
  ['cli/c.ts', '../daemons/kvp/pools/index.ts'],
  ['cli/doctor/d.ts', '../../runtime/vmbus/index.ts'],
  ['cli/timesync/a.ts', '../../daemons/timesync/status.ts'],
  ['cli/vss/a.ts', '../../daemons/vss/freeze/freezer.ts'],
  ['daemons/fcopy/a.ts', './status.ts'],
  ['test/simulator/a.ts', '../../daemons/kvp/service.ts'],
];

const forms: Readonly<Record<string, (specifier: string) => string>> = {
  static: (specifier) => `import { a } from '${specifier}';\nconsole.log(a);\n`,
  type: (specifier) => `import type { A } from '${specifier}';\nexport const a = 0 as A;\n`,
  reexport: (specifier) => `export { a } from '${specifier}';\n`,
  dynamic: (specifier) => `console.log(await import('${specifier}'));\n`,
};

const folder = mkdtempSync(join(tmpdir(), 'vmic-imports-'));
after(() => rmSync(folder, { recursive: true, force: true }));

/**
 * Lints one folder full of files with the project's own rules; gives the files that break the
 * import rule.
 */
function filesRefused(files: ReadonlyMap<string, string>): ReadonlySet<string> {
  const tree = mkdtempSync(join(folder, 'tree-'));
  cpSync(join(root, 'biome.json'), join(tree, 'biome.json'));
  for (const [path, content] of files) {
    mkdirSync(dirname(join(tree, path)), { recursive: true });
    writeFileSync(join(tree, path), content);
  }
  const { stdout, stderr } = spawnSync(
    join(root, 'node_modules/.bin/biome'),
    [
      'lint',
      '--vcs-enabled=false',
      '--max-diagnostics=none',
      '--reporter=github',
      '--only=style/noRestrictedImports',
      '.',
    ],
    { cwd: tree, encoding: 'utf8' },
  );
  assert.doesNotMatch(stderr, /configuration|deserialize/, stderr);
  const paths = stdout
    .split('\n')
    .map((line) => /noRestrictedImports,file=([^,]+),/.exec(line)?.[1]);
  return new Set(paths.filter((path) => path !== undefined).map((path) => relative(tree, path)));
}

for (const [form, write] of Object.entries(forms)) {
  test(`the lint refuses imports against the direction, and no others (${form})`, () => {
    const files = new Map(
      [...forbidden, ...allowed].map(([path, specifier]) => [path, write(specifier)]),
    );
    assert.deepEqual([...filesRefused(files)].sort(), forbidden.map(([path]) => path).sort());
  });
}
