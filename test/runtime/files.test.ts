import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { listFolder, readLink, readText, readTrimmed, statFile } from '../../runtime/files.ts';

describe('reading what may be missing', () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'vmic-files-'));
  after(() => fs.rmSync(folder, { recursive: true }));
  const at = (name: string): string => path.join(folder, name);
  fs.writeFileSync(at('b'), ' text\n');
  fs.symlinkSync('b', at('a'));

  it('gives what is there', () => {
    assert.deepEqual(listFolder(folder), ['a', 'b']);
    assert.equal(readText(at('a')), ' text\n');
    assert.equal(readTrimmed(at('b')), 'text');
    assert.equal(readLink(at('a')), 'b');
    assert.equal(statFile(at('a'))?.size, 6);
  });

  it('and nothing of what is not, or of another kind', () => {
    assert.deepEqual([listFolder(at('c')), listFolder(at('b'))], [[], []]);
    for (const read of [readText, readTrimmed]) {
      assert.equal(read(at('c')), undefined);
      assert.equal(read(folder), undefined);
    }
    assert.deepEqual([readLink(at('c')), readLink(at('b'))], [undefined, undefined]);
    assert.equal(statFile(at('c')), undefined);
  });
});
