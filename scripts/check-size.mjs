/**
 * Lists the longest definitions and files. Refuses definitions of more than 120 lines and files of
 * more than 400. Tables (array and object literals at the top of a module) count in neither; the
 * layouts of protocol/ may be longer files. A `describe` only groups tests, so it is not a
 * definition; each of its tests is. C, C++ and shell need universal-ctags, Python needs python3.
 *
 * usage: node scripts/check-size.mjs [--quiet] [--root FOLDER] [FILE...]     default: all files
 *   --quiet   lists only what is too long
 */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Visitor } from 'oxc-parser';
import { chosenFiles, isScript, lineFinder, parseScript, shellOf } from './files.mjs';
import { capture, parseArguments, root, runMain, say } from './support.mjs';

const MAX_DEFINITION_LINES = 120;
const MAX_FILE_LINES = 400;
/** How many of each kind a list shows. */
const SHOWN = 10;
const LAYOUT = /^protocol\/[^/]+\/(vmbus|hvutils|fields|ip-info)\.ts$/;
const FOR_CTAGS = /\.(cpp|h|c|sh)$/;
const FOR_PYTHON = /\.py$/;
/** Prints each definition of the files that are its arguments as a line of JSON. */
const PYTHON = `\
import ast, json, sys
for path in sys.argv[1:]:
    for node in ast.walk(ast.parse(open(path).read())):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            print(json.dumps([node.name, path, node.lineno, node.end_lineno]))
`;

/** In place of a name. */
const GROUP = Symbol('describe');

/** @typedef {{ name: string, path: string, line: number, lines: number }} Sized */

/** @param {any} node an expression; returns it without `as` and `satisfies` */
function bare(node) {
  if (node?.type === 'TSAsExpression' || node?.type === 'TSSatisfiesExpression')
    return bare(node.expression);
  return node;
}

/** @param {any} declarator of a variable at the top of a module */
const isTable = ({ init }) => ['ArrayExpression', 'ObjectExpression'].includes(bare(init)?.type);

/** @param {any} key of a property or method */
const keyName = (key) => key?.name ?? key?.value ?? '(computed)';

/**
 * Returns the definitions of a script, and how many lines its tables take.
 * @param {string} folder
 * @param {string} path
 */
function measureScript(folder, path) {
  const { text, program } = parseScript(folder, path);
  const lineAt = lineFinder(text);
  /** @type {Sized[]} */
  const definitions = [];
  /** @type {Map<unknown, string | typeof GROUP>} */
  const names = new Map();
  const count = (/** @type {any} */ { start, end }) => lineAt(end - 1) - lineAt(start) + 1;
  const add = (/** @type {any} */ node, /** @type {string} */ name) => {
    definitions.push({ name, path, line: lineAt(node.start), lines: count(node) });
  };
  const named = (/** @type {any} */ node) => {
    const name = node.id?.name ?? names.get(node) ?? '';
    if (name !== GROUP) add(node, name);
  };
  let tableLines = 0;
  for (const statement of program.body) {
    const declaration = /** @type {any} */ (
      statement.type === 'ExportNamedDeclaration' ? statement.declaration : statement
    );
    for (const declarator of declaration?.declarations ?? []) {
      if (isTable(declarator)) tableLines += count(declarator);
      else if (!/Function|Class/.test(bare(declarator.init)?.type ?? ''))
        add(declarator, declarator.id.name ?? '');
    }
  }
  new Visitor({
    VariableDeclarator: (node) => void names.set(node.init, /** @type {any} */ (node.id).name),
    PropertyDefinition: (node) => void names.set(node.value, keyName(node.key)),
    Property: (node) => void names.set(node.value, keyName(node.key)),
    MethodDefinition: (node) => void names.set(node.value, keyName(node.key)),
    CallExpression: ({ callee, arguments: given }) => {
      const [first] = /** @type {any[]} */ (given);
      const name = typeof first?.value === 'string' ? first.value : '(callback)';
      const isGroup = callee.type === 'Identifier' && callee.name === 'describe';
      for (const argument of given) names.set(argument, isGroup ? GROUP : name);
    },
    FunctionDeclaration: named,
    FunctionExpression: named,
    ArrowFunctionExpression: named,
    ClassDeclaration: named,
    ClassExpression: named,
    TSInterfaceDeclaration: named,
    TSTypeAliasDeclaration: named,
    TSEnumDeclaration: named,
  }).visit(program);
  return { definitions, tableLines };
}

/**
 * Returns the definitions of C, C++ and shell files.
 * @param {string} folder
 * @param {readonly string[]} paths
 * @returns {Sized[]}
 */
function measureWithCtags(folder, paths) {
  const tags = jsonLines(folder, paths, 'universal-ctags', 'ctags', [
    ...['--output-format=json', '--fields=+ne', '--sort=no', '-f', '-'],
    ...['--kinds-c++=fcsu', '--kinds-c=fsu', '--kinds-sh=f'],
  ]);
  return tags.map(({ name, path, line, end = endOfShellFunction(folder, path, line) }) => ({
    name: name.startsWith('__anon') ? '(lambda)' : name,
    path,
    line,
    lines: end - line + 1,
  }));
}

/**
 * Returns the definitions of Python files.
 * @param {string} folder
 * @param {readonly string[]} paths
 * @returns {Sized[]}
 */
function measurePython(folder, paths) {
  return jsonLines(folder, paths, 'python3', 'python3', ['-c', PYTHON]).map(
    ([name, path, line, end]) => ({ name, path, line, lines: end - line + 1 }),
  );
}

/**
 * Runs a program on files and returns the lines that it prints. Without it, says so.
 * @param {string} folder
 * @param {readonly string[]} paths
 * @param {string} what
 * @param {string} program
 * @param {readonly string[]} args
 * @returns {any[]}
 */
function jsonLines(folder, paths, what, program, args) {
  if (paths.length === 0) return [];
  const output = capture(program, [...args, ...paths], { cwd: folder });
  if (output === undefined) {
    say(`skipped: the definitions of ${paths.length} files (${what} is not installed, or failed)`);
    return [];
  }
  const lines = output.split('\n').filter((line) => line !== '');
  return lines.map((line) => JSON.parse(line));
}

/** ctags does not tell the end of a shell function. */
function endOfShellFunction(
  /** @type {string} */ folder,
  /** @type {string} */ path,
  /** @type {number} */ line,
) {
  const lines = readFileSync(join(folder, path), 'utf8').split('\n');
  const end = lines.findIndex((text, i) => i >= line - 1 && /^[})]|[;)] *\}$/.test(text));
  return end < 0 ? lines.length : end + 1;
}

/**
 * @param {string} title
 * @param {readonly Sized[]} all
 * @param {number} limit
 * @param {boolean} quiet
 */
function list(title, all, limit, quiet) {
  const sorted = [...all].sort((a, b) => b.lines - a.lines);
  const tooLong = sorted.filter(({ lines }) => lines > limit);
  const shown = quiet ? tooLong : sorted.slice(0, Math.max(SHOWN, tooLong.length));
  if (shown.length > 0) say(`${title}, at most ${limit} lines:`);
  for (const { name, path, line, lines } of shown) {
    const mark = lines > limit ? 'TOO LONG' : '';
    say(`${mark.padEnd(8)} ${String(lines).padStart(5)}  ${path}:${line} ${name}`);
  }
  return tooLong.length;
}

await runMain(() => {
  const { values, positionals } = parseArguments(import.meta.url, {
    quiet: { type: 'boolean', default: false },
    root: { type: 'string', default: root },
  });
  const readText = (/** @type {string} */ path) => readFileSync(join(values.root, path), 'utf8');
  /** @type {Sized[]} */
  const definitions = [];
  /** @type {Sized[]} */
  const files = [];
  const paths = chosenFiles(values.root, positionals);
  for (const path of paths) {
    const isShell = !/\.[^/]*$/.test(path) && shellOf(readText(path)) !== undefined;
    if (![isScript(path), FOR_CTAGS.test(path), FOR_PYTHON.test(path), isShell].includes(true))
      continue;
    let lines = readText(path).split('\n').length - 1;
    if (isScript(path)) {
      const measured = measureScript(values.root, path);
      definitions.push(...measured.definitions);
      lines -= measured.tableLines;
    }
    if (!LAYOUT.test(path)) files.push({ name: '', path, line: 1, lines });
  }
  const select = (/** @type {RegExp} */ suffix) => paths.filter((path) => suffix.test(path));
  definitions.push(...measureWithCtags(values.root, select(FOR_CTAGS)));
  definitions.push(...measurePython(values.root, select(FOR_PYTHON)));
  const tooLong =
    list('Longest definitions', definitions, MAX_DEFINITION_LINES, values.quiet) +
    list('Longest files, without their tables', files, MAX_FILE_LINES, values.quiet);
  return tooLong > 0 ? 1 : 0;
});
