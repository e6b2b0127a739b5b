/** What the tests of the pools share. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { PoolError, type PoolErrorCode } from '../../../../daemons/kvp/pools/index.ts';
import type { Native } from '../../../../native/interface.ts';
import { loadNative, newFolder, poolPath } from './folder.ts';

export const { native, skip } = await loadNative();
export const real = native as Native;

export const failsWith = (code: PoolErrorCode, pattern: RegExp, operation: () => unknown) =>
  assert.throws(operation, (error) => {
    assert.ok(error instanceof PoolError, String(error));
    assert.equal(error.code, code);
    assert.match(error.message, pattern);
    return true;
  });

/** A folder whose pool 0 holds these bytes. */
export function folderWith(...parts: Uint8Array[]): { folder: string; file: string } {
  const folder = newFolder();
  fs.mkdirSync(folder);
  const file = poolPath(folder, 0);
  fs.writeFileSync(file, Buffer.concat(parts));
  return { folder, file };
}

export const keysOf = (bytes: Buffer): string[] =>
  Array.from({ length: bytes.length / 2560 }, (_, i) => {
    const key = bytes.subarray(i * 2560, i * 2560 + 512);
    return key.toString('utf8', 0, key.indexOf(0));
  });
