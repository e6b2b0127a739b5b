import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { PoolError } from '../../../../daemons/kvp/pools/index.ts';
import { newFolder, openStore, record } from './folder.ts';
import { failsWith, folderWith, keysOf, real, skip } from './pool-folder.ts';

describe('damaged pool files', { skip }, () => {
  it('a partial record at the end is ignored, and set aside before the next record', () => {
    const fragment = Buffer.from('half a rec');
    const { folder, file } = folderWith(record('a', '1'), fragment);
    const { store, messages } = openStore(folder, real);
    assert.equal(store.count(0), 1);
    assert.equal(store.at(0, 1), undefined);
    store.set(0, 'a', '2');
    assert.equal(fs.statSync(file).size, 2570);
    store.set(0, 'b', '3');
    assert.ok(fs.readFileSync(file).equals(Buffer.concat([record('a', '2'), record('b', '3')])));
    const saved = `${file}.damaged`;
    assert.ok(fs.readFileSync(saved).equals(fragment));
    assert.equal(fs.statSync(saved).mode & 0o777, 0o600);
    assert.equal(
      messages.filter((message) => message.includes('ends in a partial record')).length,
      1,
    );
    fs.appendFileSync(file, 'more');
    store.set(0, 'c', '4');
    assert.equal(fs.readFileSync(saved, 'utf8'), 'half a recmore');
  });

  it('a partial record moves with the rest when one is removed', () => {
    const { folder, file } = folderWith(record('a', '1'), record('b', '2'), Buffer.from('rest'));
    const { store } = openStore(folder, real);
    store.delete(0, 'b');
    assert.ok(fs.readFileSync(file).equals(Buffer.concat([record('a', '1'), Buffer.from('rest')])));
    store.delete(0, 'a');
    assert.equal(fs.readFileSync(file, 'utf8'), 'rest');
    assert.equal(store.count(0), 0);
  });

  it('of several records of one key the first is read, all are written, all are removed', () => {
    const { folder, file } = folderWith(
      record('k', '1'),
      record('a', 'x'),
      record('k', '2'),
      record('b', 'y'),
      record('k', '3'),
    );
    const { store, messages } = openStore(folder, real);
    assert.equal(store.get(0, 'k'), '1');
    store.set(0, 'k', 'new');
    assert.ok(
      fs
        .readFileSync(file)
        .equals(
          Buffer.concat([
            record('k', 'new'),
            record('a', 'x'),
            record('k', 'new'),
            record('b', 'y'),
            record('k', 'new'),
          ]),
        ),
    );
    assert.equal(store.delete(0, 'k'), true);
    assert.ok(fs.readFileSync(file).equals(Buffer.concat([record('a', 'x'), record('b', 'y')])));
    assert.equal(store.get(0, 'b'), 'y');
    assert.equal(store.get(0, 'k'), undefined);
    assert.equal(
      messages.filter((message) => message.includes('several records of one key')).length,
      1,
    );
  });

  it('a text without its NUL ends with its field', () => {
    const full = Buffer.concat([Buffer.alloc(512, 'k'), Buffer.alloc(2048, 'v')]);
    const { folder } = folderWith(full, record('a', '1'));
    const { store, messages } = openStore(folder, real);
    assert.deepEqual(store.at(0, 0), { key: 'k'.repeat(512), value: 'v'.repeat(2048) });
    assert.equal(store.get(0, 'a'), '1');
    assert.equal(store.get(0, 'k'.repeat(511)), undefined);
    assert.equal(messages.filter((message) => message.includes('without a NUL')).length, 1);
  });

  it('bytes that are no UTF-8 are shown replaced, and stay', () => {
    const bad = record('', '');
    bad.set([0x6b, 0xff], 0);
    bad.set([0x76, 0xc3, 0x28], 512);
    const { folder, file } = folderWith(bad, record('\ufffd', 'a real U+FFFD'));
    const { store, messages } = openStore(folder, real);
    assert.deepEqual(store.at(0, 0), { key: 'k\ufffd', value: 'v\ufffd(' });
    // Its bytes are others
    assert.equal(store.get(0, 'k\ufffd'), undefined);
    assert.equal(store.get(0, '\ufffd'), 'a real U+FFFD');
    assert.equal(messages.filter((message) => message.includes('not valid UTF-8')).length, 1);
    assert.ok(fs.readFileSync(file).subarray(0, 2560).equals(bad));
  });

  it('a record without a key keeps its index, and is not listed', () => {
    const { folder } = folderWith(record('', 'lost'), record('a', '1'));
    const { store } = openStore(folder, real);
    assert.deepEqual(store.at(0, 0), { key: '', value: 'lost' });
    assert.deepEqual(store.at(0, 1), { key: 'a', value: '1' });
    assert.deepEqual([store.list(0), store.count(0)], [[{ key: 'a', value: '1' }], 2]);
  });

  it('a file of half a million records is read by index only, and does not fill memory', () => {
    const { folder, file } = folderWith(record('a', '1'));
    fs.truncateSync(file, 2560 * 500_001);
    const { store } = openStore(folder, real);
    assert.equal(store.at(0, 0)?.value, '1');
    failsWith('io', /500001 records/, () => store.get(0, 'a'));
    failsWith('io', /500001 records/, () => store.set(0, 'b', '1'));
  });

  for (const [name, make] of [
    ['a folder', (file: string) => fs.mkdirSync(file)],
    ['a FIFO', (file: string) => assert.equal(spawnSync('mkfifo', [file]).status, 0)],
    ['a link to nothing', (file: string) => fs.symlinkSync('missing/target', file)],
  ] as const) {
    it(`${name} in the place of a pool is an error of that pool only`, () => {
      const { folder, file } = folderWith();
      fs.rmSync(file);
      make(file);
      const { store, messages } = openStore(folder, real);
      assert.equal(messages.length, 1);
      assert.throws(() => store.get(0, 'a'), PoolError);
      assert.throws(() => store.set(0, 'a', '1'), PoolError);
      store.set(1, 'a', '1');
      fs.rmSync(file, { recursive: true });
      store.set(0, 'a', 'now');
      assert.equal(store.get(0, 'a'), 'now');
    });
  }
});

describe('failing writes', { skip }, () => {
  const systemError = (code: string) =>
    Object.assign(new Error(`pwrite: ${code}`), { code, errno: 1, syscall: 'pwrite' });

  /** A store whose first write stops after some bytes, as on a full disk, or fails. */
  function failing(file: { folder: string }, failure: number | string) {
    let failed = false;
    return openStore(file.folder, {
      ...real,
      writeWhole: (fd, bytes, position) => {
        if (failed) return real.writeWhole(fd, bytes, position);
        failed = true;
        if (typeof failure === 'string') throw systemError(failure);
        return real.writeWhole(fd, bytes.subarray(0, failure), position);
      },
    }).store;
  }

  for (const [failure, code] of [
    [700, 'diskFull'],
    ['ENOSPC', 'diskFull'],
    ['EDQUOT', 'diskFull'],
    ['EIO', 'io'],
    ['EROFS', 'readOnly'],
  ] as const) {
    const outcome = 'leaves the file as it was, and the next one works';
    it(`an append that ends with ${failure} ${outcome}`, () => {
      const start = folderWith(record('a', '1'));
      const store = failing(start, failure);
      failsWith(code, /\.kvp_pool_0/, () => store.set(0, 'b', '2'));
      assert.ok(fs.readFileSync(start.file).equals(record('a', '1')));
      assert.equal(store.get(0, 'b'), undefined);
      store.set(0, 'b', '2');
      assert.deepEqual(keysOf(fs.readFileSync(start.file)), ['a', 'b']);
    });
  }

  it('a change in place that stops half way is taken back', () => {
    const start = folderWith(record('a', 'old value'));
    const store = failing(start, 4);
    failsWith('diskFull', /\.kvp_pool_0/, () => store.set(0, 'a', 'NEW VALUE'));
    assert.ok(fs.readFileSync(start.file).equals(record('a', 'old value')));
    assert.equal(store.get(0, 'a'), 'old value');
  });

  it('a removal that fails loses nothing, and can be repeated', () => {
    const { folder, file } = folderWith(record('a', '1'), record('b', '2'), record('c', '3'));
    let failed = false;
    const { store } = openStore(folder, {
      ...real,
      removeRange: (fd, position, length, size) => {
        if (failed) return real.removeRange(fd, position, length, size);
        failed = true;
        // Moved one record, then the disk broke
        fs.writeSync(fd, record('b', '2'), 0, 2560, position);
        throw systemError('EIO');
      },
    });
    failsWith('io', /EIO/, () => store.delete(0, 'a'));
    assert.equal(store.get(0, 'b'), '2');
    assert.equal(store.get(0, 'c'), '3');
    assert.equal(store.delete(0, 'b'), true);
    assert.deepEqual(keysOf(fs.readFileSync(file)), ['c']);
  });

  it('a disk that is really full', (t) => {
    const mountPoint = newFolder();
    fs.mkdirSync(mountPoint);
    const namespace = process.getuid?.() === 0 ? ['-m'] : ['-r', '-m'];
    const mount = 'mount -t tmpfs -o size=16k vmic-test "$0"';
    if (spawnSync('unshare', [...namespace, 'sh', '-c', mount, mountPoint]).status !== 0) {
      t.skip('mounting in a namespace of our own is not permitted here');
      return;
    }
    const script = fileURLToPath(new URL('full-disk.ts', import.meta.url));
    const child = spawnSync(
      'unshare',
      [
        ...namespace,
        'sh',
        '-c',
        `${mount} && exec "$@"`,
        mountPoint,
        process.execPath,
        '--import',
        'tsx',
        script,
        mountPoint,
      ],
      { encoding: 'utf8' },
    );
    assert.equal(child.stderr, '');
    assert.deepEqual(JSON.parse(child.stdout), {
      code: 'diskFull',
      wholeRecords: true,
      everyWrittenKeyReads: true,
      changeInPlaceWorks: true,
      worksAfterRemoval: true,
    });
  });
});
