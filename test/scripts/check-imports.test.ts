import assert from 'node:assert/strict';
import { test } from 'node:test';
import { check } from './tree.ts';

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
  ['protocol/ic/f.ts', '../../simulator/wire.ts'],
  ['protocol/ic/g.ts', '../../cli/exit.ts'],
  ['protocol/ic/h.ts', '../../test/protocol/vector.ts'],
  ['protocol/ic/i.ts', '../../bench/driver.ts'],
  ['protocol/ic/j.ts', '../../scripts/support.mjs'],
  ['native/d.ts', 'pino'],
  ['native/e.ts', '../daemons/kvp/service.ts'],
  ['native/f.ts', '../cli/exit.ts'],
  ['native/g.ts', '../simulator/wire.ts'],
  ['native/h.ts', '../bench/driver.ts'],
  ['runtime/f.ts', '../cli/exit.ts'],
  ['runtime/g.ts', '../simulator/wire.ts'],
  ['runtime/h.ts', '../daemons/fcopy/status.ts'],
  ['runtime/i.ts', '../packaging/contents.mjs'],
  ['daemons/kvp/i.ts', '../fcopy/status.ts'],
  ['daemons/kvp/pools/j.ts', '../../vss/freeze/plan.ts'],
  ['daemons/kvp/k.ts', '../../simulator/wire.ts'],
  ['daemons/kvp/l.ts', '../../test/cli/run.ts'],
  // A longer way to the same file.
  ['daemons/kvp/m.ts', '../kvp/../vss/service.ts'],
  ['daemons/kvp/n.ts', './pools/../../../cli/exit.ts'],
  ['cli/e.ts', '../simulator/wire.ts'],
  ['cli/f.ts', '../daemons/kvp/pools/../service.ts'],
  ['cli/g.ts', '../daemons/kvp/status.ts.ts'],
  ['cli/h.ts', '../scripts/support.mjs'],
  ['cli/i.ts', '../../outside.ts'],
  ['simulator/a.ts', '../cli/exit.ts'],
  ['simulator/b.ts', '../daemons/fcopy/service.ts'],
  ['simulator/c.ts', '../test/cli/run.ts'],
  ['simulator/d.ts', '../bench/driver.ts'],
  ['scripts/a.mjs', '../protocol/ic/status.ts'],
  ['scripts/b.mjs', '../test/cli/run.ts'],
  ['packaging/a.mjs', '../runtime/version.ts'],
  ['packaging/b.mjs', '../cli/exit.ts'],
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
  ['cli/j.ts', '../daemons/heartbeat/options.ts'],
  ['cli/k.ts', 'yargs'],
  ['runtime/j.ts', '../native/interface.ts'],
  ['runtime/k.ts', 'pino'],
  ['simulator/e.ts', '../daemons/timesync/status.ts'],
  ['simulator/hosts/f.ts', '../../protocol/kvp/types.ts'],
  ['simulator/g.ts', '../runtime/log.ts'],
  ['simulator/h.ts', '../native/index.ts'],
  ['scripts/c.mjs', '../packaging/contents.mjs'],
  ['scripts/d.mjs', 'esbuild'],
  ['packaging/c.mjs', '../scripts/support.mjs'],
  ['packaging/d.mjs', 'node:fs'],
  ['bench/a.ts', '../simulator/wire.ts'],
  ['test/b.ts', '../bench/driver.ts'],
  ['test/c.ts', '../scripts/support.mjs'],
];

const forms: Readonly<Record<string, (specifier: string) => string>> = {
  static: (specifier) => `import { a } from '${specifier}';\nconsole.log(a);\n`,
  type: (specifier) => `import type { A } from '${specifier}';\nexport const a = 0 as A;\n`,
  reexport: (specifier) => `export { a } from '${specifier}';\n`,
  dynamic: (specifier) => `console.log(await import('${specifier}'));\n`,
  template: (specifier) => `console.log(await import(\`${specifier}\`));\n`,
  'side effect': (specifier) => `import '${specifier}';\n`,
  all: (specifier) => `export * from '${specifier}';\n`,
  'type expression': (specifier) => `export type A = import('${specifier}').A;\n`,
};
const TYPE_FORMS = ['type', 'type expression'];

/** Checks one folder full of files with the project's rule. Returns the files that break it. */
function filesRefused(files: ReadonlyMap<string, string>): ReadonlySet<string> {
  const { status, stderr, lines } = check('check-imports.mjs', files);
  assert.equal(status, lines.length > 0 ? 1 : 0, stderr);
  return new Set(lines.map((line) => /^([^:]+):\d+: must not import /.exec(line)?.[1] ?? line));
}

for (const [form, write] of Object.entries(forms)) {
  test(`the lint refuses imports against the direction, and no others (${form})`, () => {
    // JavaScript has no types to import.
    const isPossible = ([path]: readonly [string, string]): boolean =>
      path.endsWith('.ts') || !TYPE_FORMS.includes(form);
    const refused = forbidden.filter(isPossible);
    const files = new Map(
      [...refused, ...allowed.filter(isPossible)].map(([path, specifier]) => [
        path,
        write(specifier),
      ]),
    );
    assert.deepEqual([...filesRefused(files)].sort(), refused.map(([path]) => path).sort());
  });
}

test('a file outside of the known rooms is refused', () => {
  const [path, ...others] = filesRefused(new Map([['lost/a.ts', 'export const a = 1;\n']]));
  assert.match(path ?? '', /^lost\/a\.ts: .*no line for this file/);
  assert.deepEqual(others, []);
});

test('a computed import is refused where not everything may be imported', () => {
  const text = 'export const load = (name: string) => import(name);\n';
  const files = new Map(
    ['protocol/a.ts', 'daemons/kvp/a.ts', 'bench/a.ts'].map((path) => [path, text]),
  );
  assert.deepEqual([...filesRefused(files)].sort(), ['daemons/kvp/a.ts', 'protocol/a.ts']);
});
