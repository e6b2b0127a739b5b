/** The documents: their links, and the commands that take a moment. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { blocksFor, checker, pages, Reader, root } from './commands.ts';

describe('documents', () => {
  it('have links that lead somewhere, and commands that are run', async () => {
    assert.deepEqual(await checker.checkDocuments(), []);
  });

  it('README and ARCHITECTURE stay short', () => {
    for (const file of ['README.md', 'ARCHITECTURE.md']) {
      const lines = fs.readFileSync(path.join(root, file), 'utf8').trimEnd().split('\n');
      assert.ok(lines.length <= 120, `${file} has ${lines.length} lines`);
    }
  });

  it('name commands and options of vmic that there are', async () => {
    const helps = new Map<string, string>();
    const helpOf = (words: readonly string[]): string => {
      const key = words.join(' ');
      if (!helps.has(key)) {
        const args = ['bin/vmic', ...words, '--help'];
        const { status, stdout, stderr } = spawnSync(process.execPath, args, {
          cwd: root,
          encoding: 'utf8',
        });
        helps.set(key, status === 0 ? stdout : stderr);
      }
      return helps.get(key)!;
    };
    let count = 0;
    for (const page of await pages()) {
      if (page.file === 'CHANGELOG.md') continue;
      const inBlocks = page.blocks
        .filter(({ language }) => ['sh', 'console'].includes(language))
        .flatMap((block) =>
          checker.commandLines(block).map((text) => ({ line: block.line, text })),
        );
      for (const { line, text } of [...page.spans, ...inBlocks]) {
        const [, rest] = /^vmic ([a-z].*)$/.exec(text) ?? [];
        if (rest === undefined) continue;
        const where = `${page.file}:${line}: ${text}`;
        const words: string[] = [];
        for (const word of rest.split(' ')) {
          const commands = [
            ...helpOf(words).matchAll(
              new RegExp(`^  ${['vmic', ...words].join(' ')} ([a-z]+)`, 'gm'),
            ),
          ];
          if (commands.length === 0) break;
          assert.ok(
            commands.some(([, name]) => name === word),
            where,
          );
          words.push(word);
        }
        for (const [option] of rest.matchAll(/(?<=\s)--[a-z-]+/g))
          assert.ok(helpOf(words).includes(option), where);
        count++;
      }
    }
    assert.ok(count > 20, 'documents name commands');
  });
});

for (const [file, blocks] of await blocksFor('test/docs/commands.test.ts')) {
  describe(`commands of ${file}`, () => {
    it(`run, in lines ${blocks.map(({ line }) => line).join(', ')}`, () => {
      const reader = new Reader(root);
      try {
        for (const block of blocks) reader.run(block);
      } finally {
        reader.dispose();
      }
    });
  });
}
