import assert from 'node:assert/strict';
import fs from 'node:fs';
import { test } from 'node:test';
import { EXIT } from '../../../cli/exit.ts';
import { differences } from '../../../cli/kvp/watch.ts';
import { newFolder, poolPath, record } from '../../daemons/kvp/pools/folder.ts';
import { native, skip, vmic } from '../run.ts';

/** A pool folder with one record in the guest pool. */
function folderWith(...records: readonly Buffer[]): string {
  const folder = newFolder();
  fs.mkdirSync(folder);
  fs.writeFileSync(poolPath(folder, 1), Buffer.concat(records));
  return folder;
}

const watch = (folder: string, ...args: string[]) =>
  vmic(['kvp', 'watch', '--json', '--pool-directory', folder, ...args]);

/** The printed changes without their times. */
function changes(out: string): object[] {
  return out
    .split('\n')
    .slice(0, -1)
    .map((line) => {
      const { time, ...change } = JSON.parse(line);
      assert.ok(!Number.isNaN(Date.parse(time)));
      return change;
    });
}

/**
 * Appends a record with the key "ready" again and again until the watch shows it: only then is it
 * known to watch.
 */
async function started(run: ReturnType<typeof watch>, folder: string): Promise<void> {
  const timer = setInterval(
    () => fs.appendFileSync(poolPath(folder, 4), record(`ready ${process.hrtime()}`, '')),
    10,
  );
  await run.until(/ready/);
  clearInterval(timer);
}

test('watch tells what other programs add, change and remove, as it happens', {
  skip,
}, async () => {
  const folder = folderWith(record('A', '1'), record('B', '2'));
  const run = watch(folder, '--until', 'End');
  await started(run, folder);
  fs.appendFileSync(poolPath(folder, 1), record('C', '3'));
  await run.until(/"C"/);
  // In place, as hv_kvp_daemon, cloud-init and vmic-kvp do it
  const fd = fs.openSync(poolPath(folder, 1), 'r+');
  fs.writeSync(fd, record('A', 'one'), 0, 2560, 0);
  fs.closeSync(fd);
  await run.until(/"one"/);
  fs.writeFileSync(`${folder}/new`, record('C', '3'));
  fs.renameSync(`${folder}/new`, poolPath(folder, 1));
  await run.until(/"removed".*"B"/s);
  fs.unlinkSync(poolPath(folder, 1));
  await run.until(/"removed".*"C"/s);
  fs.writeFileSync(poolPath(folder, 0), record('End', ''));
  assert.equal(await run.status, EXIT.ok);
  const seen = changes(run.out).filter((change) => !JSON.stringify(change).includes('ready'));
  assert.deepEqual(seen, [
    { pool: 'guest', change: 'added', key: 'C', value: '3' },
    { pool: 'guest', change: 'changed', key: 'A', value: 'one', previous: '1' },
    { pool: 'guest', change: 'removed', key: 'A', previous: 'one' },
    { pool: 'guest', change: 'removed', key: 'B', previous: '2' },
    { pool: 'guest', change: 'removed', key: 'C', previous: '3' },
    { pool: 'external', change: 'added', key: 'End', value: '' },
  ]);
});

test('--until is met at once by what is there already', { skip }, async () => {
  for (const until of ['A', 'A=1']) {
    const run = watch(folderWith(record('A', '1')), '--until', until);
    assert.equal(await run.status, EXIT.ok);
    assert.deepEqual(changes(run.out), [
      { pool: 'guest', change: 'present', key: 'A', value: '1' },
    ]);
  }
});

test('--until compares key and value whole, also with "=" in them', { skip }, async () => {
  const folder = folderWith(record('A=B', 'C=D'), record('A', '10'));
  const outcome = async (until: string) => watch(folder, '--until', until, '--timeout', '0').status;
  assert.equal(await outcome('A=B'), EXIT.ok);
  assert.equal(await outcome('A=B=C=D'), EXIT.ok);
  for (const until of ['A=1', 'A=', 'a', 'B', 'A=B=C'])
    assert.equal(await outcome(until), EXIT.notFound, until);
});

test('--until looks only at the pools named', { skip }, async () => {
  const run = watch(
    folderWith(record('A', '1')),
    '--pool',
    'external',
    '--until',
    'A',
    '--timeout',
    '0',
  );
  assert.equal(await run.status, EXIT.notFound);
  assert.match(run.err, /"A" was not met within 0 s/);
});

test('keys limit what is shown, not the condition', { skip }, async () => {
  const folder = folderWith();
  const run = watch(folder, 'Shown', '--until', 'End');
  const timer = setInterval(() => fs.appendFileSync(poolPath(folder, 1), record('Hidden', '')), 10);
  const poke = setInterval(() => fs.appendFileSync(poolPath(folder, 1), record(`Shown`, '')), 25);
  await run.until(/Shown/);
  clearInterval(timer);
  clearInterval(poke);
  fs.appendFileSync(poolPath(folder, 1), record('End', 'now'));
  assert.equal(await run.status, EXIT.ok);
  assert.deepEqual(changes(run.out), [
    { pool: 'guest', change: 'added', key: 'Shown', value: '' },
    { pool: 'guest', change: 'added', key: 'End', value: 'now' },
  ]);
});

test('without --until the time limit is no failure', { skip }, async () => {
  assert.equal(await watch(folderWith(), '--timeout', '0.01').status, EXIT.ok);
});

test('a folder that is missing is awaited, and so is one that goes away', { skip }, async () => {
  const folder = newFolder();
  const run = watch(folder, '--until', 'End');
  const fill = (key: string) => {
    fs.mkdirSync(`${folder}.new`);
    fs.writeFileSync(`${folder}.new/.kvp_pool_1`, record(key, '1'));
    fs.renameSync(`${folder}.new`, folder);
  };
  while (!run.err.includes('waiting for it'))
    await new Promise((resolve) => setTimeout(resolve, 5));
  fill('First');
  await run.until(/"added".*"First"/);
  fs.rmSync(folder, { recursive: true });
  await run.until(/"removed".*"First"/);
  fill('Second');
  await run.until(/"added".*"Second"/);
  // Replaced at once: the old folder lives on under another name
  fs.renameSync(folder, `${folder}.old`);
  fill('End');
  assert.equal(await run.status, EXIT.ok);
});

test('a locked pool is looked at again, and does not end the watch', { skip }, async () => {
  const folder = folderWith(record('A', '1'));
  const fd = fs.openSync(poolPath(folder, 1), 'r+');
  assert.ok(native?.tryLock(fd, 'exclusive'));
  const run = watch(folder, '--until', 'A=2');
  // The other pools are served meanwhile
  await started(run, folder);
  fs.writeSync(fd, record('A', '2'), 0, 2560, 0);
  assert.doesNotMatch(run.out, /"A"/);
  native?.unlock(fd);
  fs.closeSync(fd);
  assert.equal(await run.status, EXIT.ok);
});

test('a watch for people shows one line a change, with nothing that controls a terminal', {
  skip,
}, async () => {
  const folder = folderWith(record('Key', 'a\x1b[2J\nb'));
  const run = vmic(['kvp', 'watch', '--pool-directory', folder, '--until', 'Key']);
  assert.equal(await run.status, EXIT.ok);
  assert.match(run.out, /^\d\d:\d\d:\d\d {2}guest {10}present {2}Key = a\\x1b\[2J\\nb\n$/);
});

test('differences: removals first, then file order', () => {
  const before = new Map([
    ['a', '1'],
    ['b', '2'],
    ['c', '3'],
  ]);
  const after = new Map([
    ['d', '4'],
    ['c', '3'],
    ['b', 'two'],
  ]);
  assert.deepEqual(differences(before, after), [
    { change: 'removed', key: 'a', previous: '1' },
    { change: 'added', key: 'd', value: '4' },
    { change: 'changed', key: 'b', value: 'two', previous: '2' },
  ]);
});
