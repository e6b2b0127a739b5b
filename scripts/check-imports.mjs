/**
 * Checks the directions of imports: each room imports only what its line of the table names.
 * Static, type-only, re-exporting and dynamic imports count, and so does `import('...').Type`.
 *
 * usage: node scripts/check-imports.mjs [--root FOLDER] [FILE...]     default: all files
 */

import { posix } from 'node:path';
import { Visitor } from 'oxc-parser';
import { chosenFiles, isScript, lineFinder, parseScript } from './files.mjs';
import { parseArguments, root, runMain, say } from './support.mjs';

/** What another room may use of a daemon. */
const SHARED = '^daemons/[^/]+/(status\\.ts$|options\\.ts$|pools/|freeze/)';
const BELOW = ['^node:', '^npm:', '^protocol/', '^native/', '^runtime/'];
/**
 * Importing files -> what they may import: a path of the project, `node:NAME` or `npm:NAME`.
 * $1 is the first group of the left side. The first line that fits counts.
 * @type {readonly (readonly [string, readonly string[]])[]}
 */
const TABLE = [
  ['^protocol/', ['^protocol/']],
  ['^native/', ['^node:', '^native/']],
  ['^runtime/', BELOW],
  ['^daemons/([^/]+)/', [...BELOW, '^daemons/$1/']],
  ['^cli/', [...BELOW, '^cli/', SHARED]],
  ['^simulator/', [...BELOW, '^simulator/', SHARED]],
  // TypeScript among the scripts runs in a checkout only, and reads declarations of every room
  ['^scripts/.*\\.ts$', ['']],
  ['^(scripts|packaging)/', ['^node:', '^npm:', '^scripts/', '^packaging/']],
  ['^(test|bench)/', ['']],
];

/**
 * Returns what a module specifier names, in the table's terms.
 * @param {string} path the importing file
 * @param {string} specifier
 */
function resolve(path, specifier) {
  if (/^(\.\.?\/|\.\.?$)/.test(specifier)) return posix.join(posix.dirname(path), specifier);
  return /^[a-z]+:|^\//.test(specifier) ? specifier : `npm:${specifier}`;
}

/**
 * Returns the module specifiers of a parsed file; one that is computed has no value.
 * @param {import('oxc-parser').Program} program
 */
function specifiersIn(program) {
  /** @type {{ value: string | undefined, start: number }[]} */
  const found = [];
  const add = (/** @type {any} */ source) => {
    if (!source) return;
    const value = source.type === 'TemplateLiteral' ? source.quasis[0].value.cooked : source.value;
    const isConstant = typeof value === 'string' && !source.expressions?.length;
    found.push({ value: isConstant ? value : undefined, start: source.start });
  };
  new Visitor({
    ImportDeclaration: (node) => add(node.source),
    ExportNamedDeclaration: (node) => add(node.source),
    ExportAllDeclaration: (node) => add(node.source),
    ImportExpression: (node) => add(node.source),
    TSImportType: (node) => add(node.source),
    TSExternalModuleReference: (node) => add(node.expression),
  }).visit(program);
  return found;
}

await runMain(() => {
  const { values, positionals } = parseArguments(import.meta.url, {
    root: { type: 'string', default: root },
  });
  let problems = 0;
  for (const path of chosenFiles(values.root, positionals).filter(isScript)) {
    const line = TABLE.find(([from]) => new RegExp(from).test(path));
    const room = line && new RegExp(line[0]).exec(path);
    if (!line || !room) {
      say(`${path}: the table of scripts/check-imports.mjs has no line for this file`);
      problems++;
      continue;
    }
    const allowed = line[1].map((to) => new RegExp(to.replace('$1', room[1] ?? '')));
    const { text, program } = parseScript(values.root, path);
    const lineAt = lineFinder(text);
    for (const { value, start } of specifiersIn(program)) {
      const target = value === undefined ? 'a computed path' : resolve(path, value);
      if (allowed.some((to) => to.test(target))) continue;
      say(`${path}:${lineAt(start)}: must not import ${target}`);
      problems++;
    }
  }
  return problems > 0 ? 1 : 0;
});
