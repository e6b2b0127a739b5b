/**
 * Checks the documents (*.md) without the network:
 * - every relative link leads to a file of the tree, and every anchor to a heading of it;
 * - every fenced block names its language, and every block of commands says what runs it;
 * - every `path/of/the/tree` and every `npm run NAME` that a text names exists.
 *
 * A comment on the line before a block is its mark:
 *   <!-- run: FILE -->               FILE runs it. The two files of EXTRACTORS take the block out
 *                                    of the document. Any other FILE holds each of its lines.
 *   <!-- not run here: REASON -->    nothing of this project can run it
 * A block of another language may have a mark, too.
 */

import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { parseArgs } from 'node:util';
import { Failure, listFiles, root, runMain, say } from './support.mjs';

const USAGE = `\
usage: node scripts/check-docs.mjs [FILE...]      default: every *.md of the tree
       node scripts/check-docs.mjs --list         print every block of commands with its mark
`;

/** The tests that take blocks out of documents and run them. */
export const EXTRACTORS = ['test/docs/commands.test.ts', 'test/docs/commands.package.test.ts'];

/** Languages whose blocks are commands. */
const COMMANDS = ['sh', 'bash', 'console', 'powershell'];

/** Top-level folders that a path in a text begins with. The others are made by the build. */
const FOLDERS = [
  'protocol native runtime daemons cli simulator test fixtures',
  'bench systemd scripts packaging docs .ci .github',
]
  .join(' ')
  .split(' ');

/** Tells of the past, so paths in it may be gone. */
const HISTORY = 'CHANGELOG.md';

/**
 * @typedef {{ run?: string, notRun?: string } | undefined} Mark
 * @typedef {{ file: string, line: number, language: string, text: string, mark: Mark }} Block
 * @typedef {{ file: string, anchors: Set<string>, links: { line: number, href: string }[],
 *             spans: { line: number, text: string }[], blocks: Block[] }} Page
 */

/** What the build makes may hold copies of documents. */
const MADE = /^(bin|build|dist|lib)\//;

/** The documents of the tree, as paths relative to its root. */
export const documents = () =>
  listFiles(['.', '.github'], (path) => path.endsWith('.md') && !MADE.test(path)).map((path) =>
    normalize(path),
  );

/** Reads one document as the web shows it: marked parses it, github-slugger names its anchors. */
export async function readPage(file) {
  const [{ lexer }, { default: GithubSlugger }] = await Promise.all([
    import('marked'),
    import('github-slugger'),
  ]);
  const slugger = new GithubSlugger();
  /** @type {Page} */
  const page = { file, anchors: new Set(), links: [], spans: [], blocks: [] };
  let comment;
  const visit = (token, line) => {
    switch (token.type) {
      case 'heading':
        page.anchors.add(slugger.slug(plainText(token)));
        break;
      case 'html':
        for (const [, href] of token.raw.matchAll(/\b(?:href|src)="([^"]*)"/g))
          page.links.push({ line, href });
        for (const [, id] of token.raw.matchAll(/\b(?:id|name)="([^"]*)"/g)) page.anchors.add(id);
        break;
      case 'link':
      case 'image':
        page.links.push({ line, href: token.href });
        break;
      case 'codespan':
        page.spans.push({ line, text: token.text.replace(/\s+/g, ' ') });
        break;
      case 'code':
        page.blocks.push({
          file,
          line,
          language: token.codeBlockStyle === 'indented' ? 'indented' : (token.lang ?? ''),
          text: token.text,
          mark: parseMark(comment),
        });
        break;
    }
    if (token.type !== 'space') comment = token.type === 'html' ? token.raw : undefined;
    let at = line;
    for (const child of childrenOf(token)) {
      visit(child, at);
      at += newlines(child.raw ?? '');
    }
  };
  let line = 1;
  for (const token of lexer(readFileSync(join(root, file), 'utf8'))) {
    visit(token, line);
    line += newlines(token.raw);
  }
  return page;
}

const newlines = (text) => text.split('\n').length - 1;

/** What is within a token: a table keeps its cells, a list its items, others have tokens. */
function childrenOf(token) {
  if (token.type === 'table')
    return [...token.header, ...token.rows.flat()].flatMap(({ tokens }) => tokens);
  return token.items ?? token.tokens ?? [];
}

const plainText = ({ tokens, text }) =>
  tokens === undefined ? text : tokens.map(plainText).join('');

/** @returns {Mark} */
function parseMark(comment) {
  const [, kind, rest] = /^<!-- (run|not run here): (.+) -->$/s.exec(comment?.trim() ?? '') ?? [];
  if (kind === undefined) return undefined;
  return kind === 'run' ? { run: rest } : { notRun: rest.replace(/\s+/g, ' ') };
}

/** The lines of a block that are commands, without comments. */
export const commandLines = ({ language, text }) =>
  text
    .split('\n')
    .filter((line) => language !== 'console' || /^[$#] /.test(line))
    .map((line) =>
      (language === 'console' ? line.slice(2) : line).replace(/(^|\s)# .*$/, '').trim(),
    )
    .filter((line) => line !== '');

/** Checks some documents, or all. Returns one sentence for each fault. */
export async function checkDocuments(files = documents()) {
  const problems = [];
  const pages = new Map();
  const pageOf = async (file) => {
    if (!pages.has(file)) pages.set(file, await readPage(file));
    return pages.get(file);
  };
  const scripts = Object.keys(JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).scripts);
  for (const file of files) {
    const page = await pageOf(file);
    const fault = (line, text) => problems.push(`${file}:${line}: ${text}`);
    for (const { line, href } of page.links) {
      const wrong = await checkLink(file, href, pageOf);
      if (wrong !== undefined) fault(line, `${href}: ${wrong}`);
    }
    for (const block of page.blocks) {
      const wrong = checkBlock(block);
      if (wrong !== undefined) fault(block.line, wrong);
    }
    if (file === HISTORY) continue;
    const commands = page.blocks
      .filter(({ language }) => COMMANDS.includes(language))
      .flatMap((block) => commandLines(block).map((text) => ({ line: block.line, text })));
    for (const { line, text } of [...page.spans, ...commands]) {
      const [, script] = /^npm run ([\w:-]+)/.exec(text) ?? [];
      if (script !== undefined && !scripts.includes(script))
        fault(line, `package.json has no script "${script}"`);
      if (isPath(text) && !existsSync(join(root, text))) fault(line, `${text} does not exist`);
    }
  }
  return problems;
}

async function checkLink(file, href, pageOf) {
  if (/^[a-z][a-z0-9+.-]*:/i.test(href)) return undefined;
  const [path, anchor] = href.split('#');
  const target = path === '' ? file : normalize(join(dirname(file), decodeURIComponent(path)));
  if (path.startsWith('/') || target.startsWith('..')) return 'leads out of the tree';
  if (!existsSync(join(root, target))) return 'there is no such file';
  if (anchor === undefined) return undefined;
  if (!target.endsWith('.md') || statSync(join(root, target)).isDirectory())
    return 'only documents have anchors';
  return (await pageOf(target)).anchors.has(anchor)
    ? undefined
    : `${target} has no heading of that name`;
}

function checkBlock(block) {
  const { language, mark } = block;
  if (language === '' || language === 'indented')
    return 'a block has to be fenced, and to name its language';
  if (mark === undefined) {
    return COMMANDS.includes(language)
      ? 'a block of commands has to say what runs it (scripts/check-docs.mjs)'
      : undefined;
  }
  if (mark.run === undefined || EXTRACTORS.includes(mark.run)) {
    return mark.run === undefined || existsSync(join(root, mark.run))
      ? undefined
      : `${mark.run} does not exist`;
  }
  if (!existsSync(join(root, mark.run))) return `${mark.run} does not exist`;
  const text = readFileSync(join(root, mark.run), 'utf8');
  const lines = COMMANDS.includes(language)
    ? commandLines(block)
    : block.text.split('\n').map((line) => line.trim());
  const absent = lines.find((line) => !text.includes(line));
  return absent === undefined ? undefined : `${mark.run} does not run "${absent}"`;
}

/** True for what looks like a file or folder of this tree, without placeholders. */
const isPath = (text) =>
  FOLDERS.includes(text.split('/')[0]) && /^[\w.-]+\/([\w@.-]+\/)*[\w@.-]*$/.test(text);

async function main() {
  let values;
  let positionals;
  try {
    ({ values, positionals } = parseArgs({
      options: {
        list: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
      allowPositionals: true,
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
  const absent = positionals.find((file) => !existsSync(join(root, file)));
  if (absent !== undefined) throw new Failure(`${absent} does not exist below ${root}`);
  const files = positionals.length > 0 ? positionals : documents();
  if (values.list) {
    for (const file of files) {
      for (const { line, language, mark } of (await readPage(file)).blocks) {
        if (!COMMANDS.includes(language)) continue;
        const how = mark === undefined ? 'NO MARK' : (mark.run ?? `not run here: ${mark.notRun}`);
        process.stdout.write(`${file}:${line}: ${how}\n`);
      }
    }
    return 0;
  }
  const problems = await checkDocuments(files);
  for (const problem of problems) say(problem);
  return problems.length > 0 ? 1 : 0;
}

if (process.argv[1] === import.meta.filename) await runMain(main);
