import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import { native } from '../../native/index.ts';
import { guestFolder, openFcopy } from '../../simulator/scenes/fcopy.ts';
import { fuzzFcopy } from './fcopy-fuzz.ts';
import { testFcopyFuzz } from './fcopy-fuzz-run.ts';

testFcopyFuzz(10_000);

describe('the fuzz test of file copy itself', () => {
  async function against(
    settings: Readonly<Record<string, string | boolean>>,
    meddle = (_guest: string): void => {},
  ) {
    const stage = await openFcopy({ native }, 'unix-ring', settings);
    try {
      meddle(guestFolder(stage));
      return await fuzzFcopy(stage, 2000, 1);
    } finally {
      await stage.close();
    }
  }

  it('finds a guest that does not overwrite', () =>
    assert.rejects(against({ overwrite: false }), /start: expected 0, got 80070050/));
  it('finds a guest that lets files out of their root', () =>
    assert.rejects(against({ roots: os.tmpdir() }), /start: expected 80004005, got 0/));
  it('finds a file in the wrong place', () =>
    assert.rejects(
      against({}, (guest) =>
        fs.mkdirSync(path.join(guest, '../outside/stray'), { recursive: true }),
      ),
      /a file outside of the root/,
    ));
  it('finds a file that is not whole', () =>
    assert.rejects(
      against({}, (guest) => fs.writeFileSync(path.join(guest, '100-by hand'), '')),
      /is not whole/,
    ));
});
