/** Takes the blocks that name a test out of the documents, and runs them. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../..', import.meta.url));

export interface Block {
  readonly file: string;
  readonly line: number;
  readonly language: string;
  readonly text: string;
  readonly mark: { readonly run: string } | { readonly notRun: string } | undefined;
}
export interface Page {
  readonly file: string;
  readonly blocks: readonly Block[];
  readonly spans: readonly { readonly line: number; readonly text: string }[];
}
interface Checker {
  documents(): string[];
  readPage(file: string): Promise<Page>;
  checkDocuments(files?: readonly string[]): Promise<string[]>;
  commandLines(block: Block): string[];
}
// Plain JavaScript, because scripts/ runs before anything is installed.
export const checker = (await import(path.join(root, 'scripts/check-docs.mjs'))) as Checker;

export const pages = (): Promise<Page[]> =>
  Promise.all(checker.documents().map((file) => checker.readPage(file)));

/** The blocks of each document that name `test` as what runs them. */
export async function blocksFor(
  test: string,
): Promise<(readonly [file: string, blocks: readonly Block[]])[]> {
  const isOurs = ({ mark }: Block): boolean =>
    mark !== undefined && 'run' in mark && mark.run === test;
  return (await pages())
    .map(({ file, blocks }) => [file, blocks.filter(isOurs)] as const)
    .filter(([, blocks]) => blocks.length > 0);
}

/** Runs a program. Returns its standard output; fails with both outputs when the program fails. */
export function succeed(
  program: string,
  args: readonly string[],
  options: { cwd: string; env?: NodeJS.ProcessEnv },
) {
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
    ...options,
  });
  if (error !== undefined) throw error;
  assert.equal(status, 0, `${program} ${args.join(' ')}\n${stdout}${stderr}`);
  return stdout;
}

/** Why no copy of the tree can be made; false when one can. */
export const noClone = (): string | false =>
  spawnSync('git', ['rev-parse', '--git-dir'], { cwd: root, stdio: 'ignore' }).status !== 0 &&
  'this tree is not a clone, or git is not installed';

/**
 * Makes a repository with one commit that holds this tree as it is, also what is not committed yet.
 * Nothing that the build makes is in it, as in a fresh clone.
 */
export function copyOfTree(folder: string): string {
  const listed = succeed('git', ['ls-files', '--cached', '--others', '--exclude-standard', '-z'], {
    cwd: root,
  });
  for (const file of listed
    .split('\0')
    .filter((name) => name !== '' && fs.existsSync(path.join(root, name)))) {
    fs.cpSync(path.join(root, file), path.join(folder, file), { recursive: true });
  }
  const git = (...args: string[]) => succeed('git', args, { cwd: folder });
  git('init', '--quiet', '--initial-branch', 'main');
  git('config', 'user.name', 'A reader');
  git('config', 'user.email', 'reader@localhost');
  git('add', '--all');
  git('commit', '--quiet', '--message', 'A copy');
  return folder;
}

/** Follows one document, with a home, a working folder and a `vmic` whose pools are its own. */
export class Reader {
  readonly folder: string;
  readonly #env: NodeJS.ProcessEnv;
  readonly #cwdFile: string;
  /** Words that stand for something else at each reader's. */
  readonly #words: Readonly<Record<string, string>>;

  constructor(cwd: string, words: Readonly<Record<string, string>> = {}) {
    this.folder = fs.mkdtempSync(path.join(os.tmpdir(), 'vmic-docs-'));
    this.#words = words;
    this.#cwdFile = path.join(this.folder, 'cwd');
    fs.writeFileSync(this.#cwdFile, cwd);
    for (const name of ['bin', 'home', 'pools']) fs.mkdirSync(path.join(this.folder, name));
    const vmic = path.join(this.folder, 'bin/vmic');
    const program = `${process.execPath} ${path.join(root, 'bin/vmic')}`;
    fs.writeFileSync(
      vmic,
      `#!/bin/sh
case "$1 $2" in
*--help* | *--version*) ;;
kvp* | generalize*) exec ${program} "$@" --pool-directory ${path.join(this.folder, 'pools')} ;;
esac
exec ${program} "$@"
`,
      { mode: 0o755 },
    );
    const { NODE_TEST_CONTEXT: _context, NODE_OPTIONS: _options, ...env } = process.env;
    this.#env = {
      ...env,
      HOME: path.join(this.folder, 'home'),
      EMAIL: 'reader@localhost',
      GIT_AUTHOR_NAME: 'A reader',
      GIT_COMMITTER_NAME: 'A reader',
      PATH: [path.join(this.folder, 'bin'), path.dirname(process.execPath), env['PATH']].join(':'),
    };
  }

  /** Runs a block's commands. Compares the output that it shows; "..." stands for any lines. */
  run(block: Block): void {
    if (block.language !== 'console') {
      this.#shell(block.text);
      return;
    }
    for (const part of block.text.split(/^(?=[$#] )/m)) {
      const [command, ...expected] = part.replace(/\n$/, '').split('\n');
      assert.match(command!, /^[$#] /, 'a console block begins with a command');
      const said = this.#shell(command!.slice(2));
      if (expected.length > 0) assert.match(said, pattern(expected), command);
    }
  }

  #shell(script: string): string {
    const words = new RegExp(`\\b(${Object.keys(this.#words).join('|')})\\b`, 'g');
    const text =
      Object.keys(this.#words).length === 0
        ? script
        : script.replace(words, (word) => this.#words[word]!);
    // The next block goes on in the folder where this one ends
    const whole = `cd "$(cat ${this.#cwdFile})"\ntrap 'pwd >${this.#cwdFile}' EXIT\n${text}\n`;
    return succeed('bash', ['-euo', 'pipefail', '-c', whole], { cwd: this.folder, env: this.#env });
  }

  dispose(): void {
    fs.rmSync(this.folder, { recursive: true, force: true });
  }
}

/** The text that expected lines stand for. */
function pattern(lines: readonly string[]): RegExp {
  const quoted = lines.map((line) =>
    line === '...' ? '(?:.*\\n)*?' : `${line.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')}\\n`,
  );
  return new RegExp(`^${quoted.join('')}$`);
}
