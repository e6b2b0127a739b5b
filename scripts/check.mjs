/**
 * Checks the sources without running them, several parts at a time. Prints what each part found.
 * A part whose tool is missing is skipped, and said to be.
 *
 * usage: node scripts/check.mjs [--write | --staged] [PART...]     default: the parts without a *
 *   --write    formats the files, and fixes what has a safe fix
 *   --staged   checks only what is about to be committed, as the hook in .githooks does
 *   types      tsc over the TypeScript sources
 *   scripts    tsc over scripts/ and packaging/ (checkJs)
 *   biome      formatting and lint of TypeScript, JavaScript and JSON
 *   imports    the directions of imports (scripts/check-imports.mjs)
 *   columns    100 columns in every kind of text (scripts/check-columns.mjs)
 *   size *     the length of definitions and files (scripts/check-size.mjs)
 *   cpp        formatting of C and C++ (clang-format)
 *   python     formatting and lint of Python (ruff)
 *   shell      lint of shell scripts (shellcheck)
 *   docs       links, paths and commands in documents (scripts/check-docs.mjs)
 *   tidy *     lint of C++ (clang-tidy), which takes minutes
 */

import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { projectFiles, shellOf } from './files.mjs';
import { capture, isOnPath, parseArguments, root, runMain, say, UsageError } from './support.mjs';

const node = process.execPath;
const bin = (name) => join('node_modules/.bin', name);
/** Templates are checked by test/packaging once their lists are filled in. */
const isShell = (path) => {
  if (/\.\w+$/.test(path) && !path.endsWith('.sh')) return false;
  const text = readFileSync(join(root, path), 'utf8');
  return shellOf(text) !== undefined && !/@[A-Z_]+@/.test(text);
};

/**
 * Name -> how the part is checked.
 * files     tells which files the part looks at
 * command   of the whole project when it takes no files; `named` gets the names of files
 * write     takes --write
 * missing   why the part can't be checked here
 * byName    runs only when it is asked for
 */
const PARTS = {
  types: { files: (path) => path.endsWith('.ts'), command: [bin('tsc'), '--noEmit'] },
  scripts: {
    files: (path) => path.endsWith('.mjs'),
    command: [bin('tsc'), '-p', 'tsconfig.scripts.json'],
  },
  biome: {
    files: (path) => /\.(ts|mjs|json)$/.test(path),
    command: [bin('biome'), 'check', '--error-on-warnings', '--no-errors-on-unmatched'],
    named: true,
    write: true,
  },
  imports: {
    files: (path) => /\.(ts|mjs)$/.test(path),
    command: [node, 'scripts/check-imports.mjs'],
    named: true,
  },
  columns: {
    files: () => true,
    command: [node, 'scripts/check-columns.mjs'],
    named: true,
  },
  size: {
    files: () => true,
    command: [node, 'scripts/check-size.mjs', '--quiet'],
    named: true,
    byName: true,
  },
  cpp: {
    files: (path) => /\.(c|cpp|h)$/.test(path),
    command: [node, 'scripts/clang-format.mjs'],
    named: true,
    write: true,
  },
  python: {
    files: (path) => path.endsWith('.py'),
    command: [node, 'scripts/ruff.mjs'],
    named: true,
    write: true,
  },
  shell: {
    files: isShell,
    command: ['shellcheck'],
    named: true,
    missing: () => (isOnPath('shellcheck') ? undefined : 'shellcheck is not installed'),
  },
  docs: {
    files: (path) => path.endsWith('.md'),
    command: [node, 'scripts/check-docs.mjs'],
    missing: () =>
      existsSync(join(root, 'scripts/check-docs.mjs')) ? undefined : 'scripts/check-docs.mjs',
  },
  tidy: {
    files: (path) => /^native\/.*\.cpp$/.test(path),
    command: [node, 'scripts/clang-tidy.mjs'],
    named: true,
    missing: () => (isOnPath('clang-tidy') ? undefined : 'clang-tidy is not installed'),
    byName: true,
  },
};

/** Returns the files that are about to be committed, as they are in the work tree. */
function stagedFiles() {
  const list = capture('git', ['diff', '--cached', '--name-only', '-z', '--diff-filter=ACMR']);
  return (list ?? '').split('\0').filter((path) => path !== '');
}

/** Runs one part. Returns its exit status; its output appears when it failed. */
function runPart(name, files, write) {
  const { command, named, missing } = PARTS[name];
  const reason = missing?.();
  if (reason !== undefined) {
    say(`skipped  ${name}: ${reason}`);
    return 0;
  }
  const began = performance.now();
  const [program, ...args] = [...command, ...(write ? ['--write'] : []), ...(named ? files : [])];
  return new Promise((resolve) => {
    const child = spawn(program, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (chunk) => (output += chunk));
    child.on('error', (error) => (output += error.message));
    child.on('close', (status) => {
      const seconds = ((performance.now() - began) / 1000).toFixed(1);
      const notes = output.split('\n').filter((line) => line.startsWith('skipped'));
      if (status !== 0) say(output.trimEnd());
      else for (const note of notes) say(note);
      say(`${status === 0 ? 'ok      ' : 'FAILED  '} ${name} (${seconds} s)`);
      resolve(status ?? 1);
    });
  });
}

await runMain(async () => {
  const { values, positionals } = parseArguments(import.meta.url, {
    write: { type: 'boolean' },
    staged: { type: 'boolean' },
  });
  const unknown = positionals.find((name) => !Object.hasOwn(PARTS, name));
  if (unknown !== undefined)
    throw new UsageError(`no part "${unknown}": there are ${Object.keys(PARTS).join(', ')}`);
  if (values.write && values.staged)
    throw new UsageError('--write and --staged do not go together');
  const candidates = values.staged ? stagedFiles() : projectFiles(root);
  const waiting = Object.keys(PARTS)
    .filter((name) => (positionals.length > 0 ? positionals.includes(name) : !PARTS[name].byName))
    .filter((name) => !values.write || PARTS[name].write)
    .map((name) => ({ name, files: candidates.filter(PARTS[name].files) }))
    .filter(({ files }) => files.length > 0);
  let failed = 0;
  const lane = async () => {
    for (let part = waiting.shift(); part !== undefined; part = waiting.shift())
      if ((await runPart(part.name, part.files, values.write)) !== 0) failed++;
  };
  await Promise.all(Array.from({ length: availableParallelism() + 1 }, lane));
  return failed > 0 ? 1 : 0;
});
