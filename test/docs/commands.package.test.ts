/** Commands of the documents that take minutes: from a fresh clone, and packages. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { blocksFor, copyOfTree, Reader } from './commands.ts';

const isThere = (program: string): boolean =>
  spawnSync(program, ['--version'], { stdio: 'ignore' }).error === undefined;
const absent = ['git', 'npm', 'g++'].filter((program) => !isThere(program));

const work = fs.mkdtempSync(path.join(os.tmpdir(), 'vmic-docs-clone-'));
after(() => fs.rmSync(work, { recursive: true, force: true }));

describe('commands of documents, from a fresh clone', {
  skip: absent.length > 0 && `not installed: ${absent}`,
}, async () => {
  const documents = await blocksFor('test/docs/commands.package.test.ts');
  let origin: string | undefined;
  for (const [file, blocks] of documents) {
    it(`${file}, lines ${blocks.map(({ line }) => line).join(', ')}`, () => {
      origin ??= copyOfTree(path.join(work, 'origin'));
      const cwd = fs.mkdtempSync(path.join(work, 'reader-'));
      const reader = new Reader(cwd, { URL: origin, FOLDER: path.join(cwd, 'folder') });
      try {
        for (const block of blocks) reader.run(block);
      } finally {
        reader.dispose();
      }
    });
  }
});
