import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { ownIdentity } from '../../../runtime/status/status-file.ts';
import { Disk, withoutUnnamed } from './disk.ts';

describe('what a killed process leaves', () => {
  const note = (
    at: Disk,
    name: string,
    folder = at.inside,
    process = { pid: 1, startTicks: 'none' },
  ): void => {
    fs.mkdirSync(path.dirname(at.noteFile), { recursive: true });
    fs.writeFileSync(at.noteFile, JSON.stringify({ process, folder, name }));
  };

  test('is removed by the next one', (t) => {
    const at = new Disk(t);
    fs.writeFileSync(`${at.inside}/.vmic-fcopy-abc123`, 'half');
    note(at, '.vmic-fcopy-abc123');
    at.leftover.cleanUp();
    assert.deepEqual(at.list(), {});
    assert.equal(fs.existsSync(at.noteFile), false);
    assert.deepEqual(at.lines, ['notice: Removed what a killed process had left of a file']);
  });

  test('is a kill at any moment of a copy with a temporary name', async (t) => {
    const at = new Disk(t, {}, withoutUnnamed);
    const incoming = at.create(`${at.inside}/file`, 5);
    incoming.sink.write(Buffer.from('half'));
    // As if this process were gone
    const left = JSON.parse(fs.readFileSync(at.noteFile, 'utf8'));
    assert.deepEqual(left.process, ownIdentity());
    at.leftover.cleanUp();
    assert.equal(Object.keys(at.list()).length, 1, 'who wrote the note is alive');
    note(at, left.name, left.folder);
    at.leftover.cleanUp();
    assert.deepEqual(at.list(), {});
    incoming.close();
    assert.equal(at.openDescriptors, 0);
  });

  test("is nothing else: no other name, no folder, nobody else's file", (t) => {
    const at = new Disk(t);
    fs.writeFileSync(`${at.inside}/precious`, 'precious');
    fs.mkdirSync(`${at.inside}/.vmic-fcopy-folder`);
    for (const [name, folder] of [
      ['precious', at.inside],
      ['../inside/precious', at.inside],
      ['.vmic-fcopy-/../precious', at.inside],
      ['.vmic-fcopy-folder', at.inside],
      ['.vmic-fcopy-none', at.inside],
      ['.vmic-fcopy-none', `${at.inside}/none`],
    ] as const) {
      note(at, name, folder);
      at.leftover.cleanUp();
    }
    for (const broken of [
      '',
      '{',
      '[]',
      'null',
      '{"process":{"pid":1}}',
      '{"process":{"pid":1},"folder":1,"name":2}',
    ]) {
      fs.writeFileSync(at.noteFile, broken);
      at.leftover.cleanUp();
    }
    assert.deepEqual(at.list(), { precious: 'precious', '.vmic-fcopy-folder': '/' });
    assert.equal(at.openDescriptors, 0);
  });
});
