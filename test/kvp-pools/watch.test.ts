import assert from 'node:assert/strict';
import fs from 'node:fs';
import { describe, it, type TestContext } from 'node:test';
import { type PoolChange, watchPools } from '../../daemons/kvp-pools/index.ts';
import type { Native } from '../../native/interface.ts';
import { loadNative, newFolder, openStore, poolPath, record } from './folder.ts';

const { native, skip } = await loadNative();

/** A watch on a folder, whose changes can be awaited one call at a time. */
function watching(t: TestContext, folder: string, pools: number[]) {
  const { store } = openStore(folder, native as Native, { readOnly: true });
  const seen: PoolChange[] = [];
  let wake: () => void = () => {};
  const watch = watchPools(folder, store, pools, {
    changed: (changes) => {
      seen.push(...changes);
      wake();
    },
    failed: (error) => assert.fail(error),
  });
  t.after(() => watch.close());
  const until = async (count: number): Promise<PoolChange[]> => {
    while (seen.length < count) await new Promise<void>((resolve) => (wake = resolve));
    return seen.splice(0);
  };
  return { until, seen };
}

/** Lets the first look, which nothing reports, pass. */
const firstLook = () => new Promise((resolve) => setTimeout(resolve, 50));

describe('watching pools', { skip, timeout: 20_000 }, () => {
  it('reports what others add, change and remove, and not what was there', async (t) => {
    const folder = newFolder();
    fs.mkdirSync(folder);
    const file = poolPath(folder, 1);
    fs.writeFileSync(file, Buffer.concat([record('a', '1'), record('b', '2')]));
    const { until } = watching(t, folder, [0, 1]);
    await firstLook();
    fs.appendFileSync(file, record('c', '3'));
    assert.deepEqual(await until(1), [{ pool: 1, kind: 'added', key: 'c', value: '3' }]);
    fs.writeFileSync(file, record('a', 'one'), { flag: 'r+' });
    assert.deepEqual(await until(1), [{ pool: 1, kind: 'changed', key: 'a', value: 'one' }]);
    fs.truncateSync(file, 2 * 2560);
    assert.deepEqual(await until(1), [{ pool: 1, kind: 'removed', key: 'c' }]);
    fs.writeFileSync(poolPath(folder, 0), record('x', 'y'));
    assert.deepEqual(await until(1), [{ pool: 0, kind: 'added', key: 'x', value: 'y' }]);
  });

  it('says nothing of pools that were not asked for', async (t) => {
    const folder = newFolder();
    fs.mkdirSync(folder);
    const { until } = watching(t, folder, [0]);
    await firstLook();
    fs.writeFileSync(poolPath(folder, 3), record('x', '1'));
    fs.writeFileSync(poolPath(folder, 0), record('y', '2'));
    assert.deepEqual(await until(1), [{ pool: 0, kind: 'added', key: 'y', value: '2' }]);
  });

  it('waits for a folder that is not there yet, or no more', async (t) => {
    const folder = newFolder();
    const { until } = watching(t, folder, [0]);
    await firstLook();
    fs.mkdirSync(folder);
    fs.writeFileSync(poolPath(folder, 0), record('a', '1'));
    assert.deepEqual(await until(1), [{ pool: 0, kind: 'added', key: 'a', value: '1' }]);
    fs.rmSync(folder, { recursive: true });
    assert.deepEqual(await until(1), [{ pool: 0, kind: 'removed', key: 'a' }]);
    fs.mkdirSync(folder);
    fs.writeFileSync(poolPath(folder, 0), record('b', '2'));
    assert.deepEqual(await until(1), [{ pool: 0, kind: 'added', key: 'b', value: '2' }]);
  });
});
