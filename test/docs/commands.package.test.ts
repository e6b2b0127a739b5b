/** Commands of the documents that take minutes: from a fresh clone, and packages. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { blocksFor, copyOfTree, noClone, Reader, root, succeed } from './commands.ts';

const isThere = (program: string): boolean =>
  spawnSync(program, ['--version'], { stdio: 'ignore' }).error === undefined;
const absent = ['npm', 'g++', 'rpmbuild'].filter((program) => !isThere(program));

/** A new contributor has nothing but the clone. */
const FROM_NOTHING = 'CONTRIBUTING.md';
/** What a clone would install and build first. It has been done once, in this tree. */
const BUILT = ['node_modules', 'build', 'bin', '.cache/package'];

const work = fs.mkdtempSync(path.join(os.tmpdir(), 'vmic-docs-clone-'));
after(() => fs.rmSync(work, { recursive: true, force: true }));

/** Puts what was built before into a clone; what is there stays. */
function share(from: string, clone: string): void {
  for (const name of BUILT) {
    const target = path.join(clone, name);
    if (!fs.existsSync(path.join(from, name)) || fs.existsSync(target)) continue;
    fs.mkdirSync(path.dirname(target), { recursive: true });
    // Links do for npm, which replaces files. The build writes into its stamps.
    const how = name === 'node_modules' ? '-al' : '-a';
    succeed('cp', [how, path.join(from, name), target], { cwd: work });
  }
}

describe('commands of documents, in a clone', {
  skip: noClone() || (absent.length > 0 && `not installed: ${absent.join(', ')}`),
}, async () => {
  const documents = await blocksFor('test/docs/commands.package.test.ts');
  const builtBefore = [root];
  let origin: string | undefined;
  for (const [file, blocks] of documents) {
    it(`${file}, lines ${blocks.map(({ line }) => line).join(', ')}`, () => {
      origin ??= copyOfTree(path.join(work, 'origin'));
      const cwd = fs.mkdtempSync(path.join(work, 'reader-'));
      const clone = path.join(cwd, 'vmic');
      const reader = new Reader(cwd, { URL: origin, FOLDER: path.join(cwd, 'folder') });
      try {
        for (const block of blocks) {
          reader.run(block);
          if (file === FROM_NOTHING || !fs.existsSync(clone)) continue;
          for (const folder of builtBefore) share(folder, clone);
        }
        builtBefore.push(clone);
      } finally {
        reader.dispose();
      }
    });
  }
});
