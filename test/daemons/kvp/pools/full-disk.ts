/**
 * Run by pools.test.ts on a tiny file system of its own: fills a pool until the disk is full, and
 * says how that went as JSON.
 */
import fs from 'node:fs';
import { type PoolError, PoolStore } from '../../../../daemons/kvp/pools/index.ts';
import { native } from '../../../../native/index.ts';

const folder = process.argv[2] as string;
const silent = { warning: () => {}, error: () => {} };
const store = PoolStore.open(folder, { native, log: silent });
const keys: string[] = [];
let code: string | undefined;
while (code === undefined && keys.length < 1000) {
  const key = `key ${keys.length}`;
  try {
    store.set(0, key, `value of ${key}`);
    keys.push(key);
  } catch (error) {
    code = (error as PoolError).code;
  }
}
const file = `${folder}/.kvp_pool_0`;
const wholeRecords = fs.statSync(file).size === keys.length * 2560;
const everyWrittenKeyReads = keys.every((key) => store.get(0, key) === `value of ${key}`);
store.set(0, 'key 0', 'changed');
const changeInPlaceWorks = store.get(0, 'key 0') === 'changed';
store.delete(0, 'key 0');
store.delete(0, 'key 1');
store.set(0, 'again', 'fits');
const worksAfterRemoval = store.get(0, 'again') === 'fits' && store.count(0) === keys.length - 1;
store.close();
console.log(
  JSON.stringify({
    code,
    wholeRecords,
    everyWrittenKeyReads,
    changeInPlaceWorks,
    worksAfterRemoval,
  }),
);
