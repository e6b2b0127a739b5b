import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import {
  PoolError,
  type PoolErrorCode,
  retryWhileLocked,
} from '../../../../daemons/kvp/pools/index.ts';
import type { Native } from '../../../../native/interface.ts';
import { loadNative, newFolder, openStore, poolPath, record } from './folder.ts';

const { native, skip } = await loadNative();
const real = native as Native;

const failsWith = (code: PoolErrorCode, pattern: RegExp, operation: () => unknown) =>
  assert.throws(operation, (error) => {
    assert.ok(error instanceof PoolError, String(error));
    assert.equal(error.code, code);
    assert.match(error.message, pattern);
    return true;
  });

/** A folder whose pool 0 holds these bytes. */
function folderWith(...parts: Uint8Array[]): { folder: string; file: string } {
  const folder = newFolder();
  fs.mkdirSync(folder);
  const file = poolPath(folder, 0);
  fs.writeFileSync(file, Buffer.concat(parts));
  return { folder, file };
}

const keysOf = (bytes: Buffer): string[] =>
  Array.from({ length: bytes.length / 2560 }, (_, i) => {
    const key = bytes.subarray(i * 2560, i * 2560 + 512);
    return key.toString('utf8', 0, key.indexOf(0));
  });

describe('pool files', { skip }, () => {
  it('are made with the modes other programs expect, whatever the umask', () => {
    const folder = newFolder();
    const before = process.umask(0o077);
    try {
      openStore(folder, real);
    } finally {
      process.umask(before);
    }
    for (const pool of [0, 1, 2, 3, 4]) {
      const { mode, size } = fs.statSync(poolPath(folder, pool));
      assert.equal(mode & 0o7777, 0o644);
      assert.equal(size, 0);
    }
  });

  it('keep the mode and the inode they have', () => {
    const { folder, file } = folderWith(record('a', '1'), record('b', '2'), record('c', '3'));
    fs.chmodSync(file, 0o600);
    const { ino } = fs.statSync(file);
    const { store } = openStore(folder, real);
    store.set(0, 'a', 'other');
    store.set(0, 'd', '4');
    store.delete(0, 'b');
    const after = fs.statSync(file);
    assert.equal(after.ino, ino);
    assert.equal(after.mode & 0o777, 0o600);
  });

  it('hold records exactly as other programs read them', () => {
    const { folder, file } = folderWith();
    const { store } = openStore(folder, real);
    store.set(0, 'plain', 'value 0');
    store.set(0, 'Kéy ✓', 'välue € 😀');
    store.set(0, 'empty', '');
    const expected = Buffer.alloc(3 * 2560);
    expected.set(Buffer.from('706c61696e', 'hex'), 0);
    expected.set(Buffer.from('76616c75652030', 'hex'), 512);
    expected.set(Buffer.from('4bc3a97920e29c93', 'hex'), 2560);
    expected.set(Buffer.from('76c3a46c756520e282ac20f09f9880', 'hex'), 2560 + 512);
    expected.set(Buffer.from('656d707479', 'hex'), 2 * 2560);
    assert.ok(fs.readFileSync(file).equals(expected));
  });

  it('hold the longest keys and values, and refuse longer ones untouched', () => {
    const { folder, file } = folderWith();
    const { store } = openStore(folder, real);
    const longest = { key: 'k'.repeat(511), value: `${'€'.repeat(682)}x` };
    store.set(0, longest.key, longest.value);
    assert.deepEqual(store.at(0, 0), longest);
    assert.equal(store.get(0, longest.key), longest.value);
    const before = fs.readFileSync(file);
    failsWith('invalid', /512 bytes.*511/, () => store.set(0, 'k'.repeat(512), ''));
    failsWith('invalid', /512 bytes.*511/, () => store.get(0, 'é'.repeat(256)));
    failsWith('invalid', /2048 bytes.*2047/, () => store.set(0, 'k', 'v'.repeat(2048)));
    failsWith('invalid', /empty/, () => store.set(0, '', 'v'));
    failsWith('invalid', /NUL/, () => store.delete(0, 'a\0b'));
    failsWith('invalid', /NUL/, () => store.set(0, 'a', 'x\0y'));
    for (const pool of [5, -1, 0.5]) failsWith('invalid', /no pool/, () => store.at(pool, 0));
    assert.ok(fs.readFileSync(file).equals(before));
  });

  it('get a shorter value without the tail of the old one, garbage behind the end included', () => {
    const dirty = record('k', 'long value');
    dirty.fill(0xee, 512 + 100, 2560);
    dirty.fill(0xdd, 100, 200);
    const { folder, file } = folderWith(dirty);
    const { store } = openStore(folder, real);
    assert.equal(store.get(0, 'k'), 'long value');
    store.set(0, 'k', 'v');
    assert.ok(fs.readFileSync(file).equals(record('k', 'v')));
  });

  it('keep the order of records through changes and removals', () => {
    const { folder, file } = folderWith(
      ...['a', 'b', 'c', 'd', 'e'].map((key) => record(key, key)),
    );
    const { store } = openStore(folder, real);
    store.set(0, 'c', 'changed');
    assert.equal(store.delete(0, 'b'), true);
    assert.equal(store.delete(0, 'b'), false);
    assert.equal(store.delete(0, 'e'), true);
    store.set(0, 'f', 'new');
    assert.deepEqual(keysOf(fs.readFileSync(file)), ['a', 'c', 'd', 'f']);
    assert.deepEqual(store.list(0), [
      { key: 'a', value: 'a' },
      { key: 'c', value: 'changed' },
      { key: 'd', value: 'd' },
      { key: 'f', value: 'new' },
    ]);
    assert.deepEqual(
      [store.at(0, 1)?.value, store.at(0, 4), store.count(0)],
      ['changed', undefined, 4],
    );
    assert.equal(store.at(0, 0xffffffff), undefined);
  });

  it('are read by index in any order, past the end and back', () => {
    const count = 100;
    const { folder } = folderWith(
      ...Array.from({ length: count }, (_, i) => record(`k${i}`, `v${i}`)),
    );
    const { store } = openStore(folder, real);
    const walk = (indexes: number[]) => indexes.map((index) => store.at(0, index)?.value);
    const upwards = Array.from({ length: count + 2 }, (_, i) => i);
    const expected = upwards.map((i) => (i < count ? `v${i}` : undefined));
    assert.deepEqual(walk(upwards), expected);
    assert.deepEqual(walk(upwards.toReversed()), expected.toReversed());
    const mixed = upwards.map((i) => (i * 37) % (count + 2));
    assert.deepEqual(
      walk(mixed),
      mixed.map((i) => expected[i]),
    );
    store.delete(0, 'k50');
    assert.deepEqual(
      [49, 50, 98, 99].map((i) => store.at(0, i)?.value),
      ['v49', 'v51', 'v99', undefined],
    );
  });

  it('are not written when nothing changes', () => {
    const { folder, file } = folderWith(record('k', 'v'));
    fs.utimesSync(file, 1, 1);
    const { store } = openStore(folder, real);
    store.set(0, 'k', 'v');
    assert.equal(fs.statSync(file).mtimeMs, 1000);
  });

  it('are independent of each other', () => {
    const { store } = openStore(newFolder(), real);
    for (const pool of [0, 1, 2, 3, 4]) store.set(pool, 'k', `pool ${pool}`);
    store.delete(1, 'k');
    assert.deepEqual(
      [0, 1, 2, 3, 4].map((pool) => store.get(pool, 'k')),
      ['pool 0', undefined, 'pool 2', 'pool 3', 'pool 4'],
    );
  });

  it('touch only the bytes that differ', () => {
    const { folder } = folderWith(record('a', '1'), record('k', 'value 1 of many'));
    const writes: [position: number, bytes: string][] = [];
    const { store } = openStore(folder, {
      ...real,
      writeWhole: (fd, bytes, position) => {
        writes.push([position, Buffer.from(bytes).toString()]);
        return real.writeWhole(fd, bytes, position);
      },
    });
    store.set(0, 'k', 'value 2 of many');
    // In units of four bytes
    assert.deepEqual(writes, [[2560 + 512 + 4, 'e 2 ']]);
  });
});

describe('changes by other programs', { skip }, () => {
  const start = () => {
    const { folder, file } = folderWith(record('a', '1'), record('b', '2'), record('c', '3'));
    const { store, messages } = openStore(folder, real);
    assert.equal(store.get(0, 'a'), '1');
    assert.equal(store.get(0, 'nothing'), undefined);
    return { folder, file, store, messages };
  };

  it('an append', () => {
    const { file, store } = start();
    fs.appendFileSync(file, record('d', '4'));
    assert.equal(store.get(0, 'd'), '4');
    store.set(0, 'e', '5');
    assert.deepEqual(keysOf(fs.readFileSync(file)), ['a', 'b', 'c', 'd', 'e']);
  });

  it('a value changed in place', () => {
    const { file, store } = start();
    fs.writeFileSync(file, Buffer.concat([record('a', '9'), record('b', '2'), record('c', '3')]), {
      flag: 'r+',
    });
    assert.equal(store.get(0, 'a'), '9');
  });

  it('keys changed in place, the size and the times kept', () => {
    const { file, store } = start();
    const { atime, mtime } = fs.statSync(file);
    fs.writeFileSync(file, Buffer.concat([record('x', '9'), record('a', '8'), record('c', '3')]), {
      flag: 'r+',
    });
    fs.utimesSync(file, atime, mtime);
    assert.equal(store.get(0, 'x'), '9');
    assert.equal(store.get(0, 'a'), '8');
    assert.equal(store.get(0, 'b'), undefined);
  });

  it('a change right after one of ours', () => {
    const { file, store } = start();
    for (let i = 0; i < 50; i++) {
      store.set(0, 'a', `ours ${i}`);
      const bytes = fs.readFileSync(file);
      bytes.set(record(`theirs ${i}`, `${i}`), 2560);
      fs.writeFileSync(file, bytes, { flag: 'r+' });
      assert.equal(store.get(0, `theirs ${i}`), `${i}`);
      assert.equal(store.get(0, `theirs ${i - 1}`), undefined);
    }
  });

  it('a record removed', () => {
    const { file, store } = start();
    fs.writeFileSync(file, Buffer.concat([record('b', '2'), record('c', '3')]));
    assert.equal(store.get(0, 'a'), undefined);
    assert.equal(store.get(0, 'c'), '3');
    assert.equal(store.at(0, 2), undefined);
  });

  it('the file truncated, and filled again', () => {
    const { file, store } = start();
    fs.truncateSync(file);
    assert.equal(store.at(0, 0), undefined);
    assert.equal(store.get(0, 'a'), undefined);
    fs.appendFileSync(file, record('a', 'again'));
    assert.equal(store.get(0, 'a'), 'again');
  });

  it('the file replaced', () => {
    const { file, store } = start();
    fs.writeFileSync(`${file}.new`, record('a', 'replaced'), { mode: 0o600 });
    fs.renameSync(`${file}.new`, file);
    assert.equal(store.get(0, 'a'), 'replaced');
    store.set(0, 'b', 'here');
    assert.deepEqual(keysOf(fs.readFileSync(file)), ['a', 'b']);
    assert.equal(fs.statSync(file).mode & 0o777, 0o600);
  });

  it('the file removed: it is made anew', () => {
    const { file, store } = start();
    fs.rmSync(file);
    assert.equal(store.get(0, 'a'), undefined);
    assert.equal(fs.statSync(file).mode & 0o777, 0o644);
    fs.rmSync(file);
    store.set(0, 'b', '2');
    assert.deepEqual(keysOf(fs.readFileSync(file)), ['b']);
  });

  it('a folder of folders that are not there: all are made', () => {
    const folder = path.join(newFolder(), 'a', 'b');
    const { store } = openStore(folder, real);
    store.set(0, 'a', '1');
    assert.equal(fs.statSync(path.dirname(folder)).mode & 0o777, 0o755);
    assert.equal(store.get(0, 'a'), '1');
  });

  it('a folder that can never be made is an error, not an endless attempt', () => {
    const { store } = openStore('/proc/vmic-test/pools', real);
    assert.throws(() => store.set(0, 'a', '1'), { code: 'io' });
  });

  it('the whole folder removed, made anew, and watched again', () => {
    const { folder, file, store } = start();
    fs.rmSync(folder, { recursive: true });
    store.set(0, 'a', '1');
    assert.equal(store.get(0, 'nothing'), undefined);
    fs.writeFileSync(file, record('x', '1'), { flag: 'r+' });
    assert.equal(store.get(0, 'x'), '1');
    assert.equal(store.get(1, 'a'), undefined);
  });

  it('are seen from the files themselves where watching is impossible', () => {
    const { folder, file } = folderWith(record('a', '1'));
    const { store, messages } = openStore(folder, {
      ...real,
      watchDirectory: () => {
        throw Object.assign(new Error('inotify_init1: EMFILE'), {
          code: 'EMFILE',
          errno: 24,
          syscall: 'inotify_init1',
        });
      },
    });
    assert.equal(store.get(0, 'a'), '1');
    fs.appendFileSync(file, record('b', '2'));
    assert.equal(store.get(0, 'b'), '2');
    fs.rmSync(file);
    assert.equal(store.get(0, 'b'), undefined);
    assert.equal(messages.filter((message) => message.includes('EMFILE')).length, 1);
  });

  it('cost no reading of all records when only a value changed', () => {
    const { folder, file } = folderWith(
      ...Array.from({ length: 300 }, (_, i) => record(`k${i}`, 'v')),
    );
    const { store } = openStore(folder, real);
    store.get(0, 'k5');
    fs.writeFileSync(file, record('k0', 'w'), { flag: 'r+' });
    const { readSync } = fs;
    let read = 0;
    fs.readSync = ((...args: Parameters<typeof readSync>) => {
      const count = readSync(...args);
      read += count;
      return count;
    }) as typeof readSync;
    try {
      assert.equal(store.get(0, 'k0'), 'w');
    } finally {
      fs.readSync = readSync;
    }
    assert.equal(read, 2560);
  });
});

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
    it(`an append that ends with ${failure} leaves the file as it was, and the next one works`, () => {
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

describe('reading only', { skip }, () => {
  it('makes nothing: what is missing is empty', () => {
    const folder = newFolder();
    const { store } = openStore(folder, real, { readOnly: true });
    assert.deepEqual(
      [store.get(0, 'a'), store.at(0, 0), store.list(0), store.count(0)],
      [undefined, undefined, [], 0],
    );
    assert.equal(fs.existsSync(folder), false);
    fs.mkdirSync(folder);
    fs.writeFileSync(poolPath(folder, 0), record('a', '1'));
    assert.equal(store.get(0, 'a'), '1');
  });

  it('refuses changes', () => {
    const { folder, file } = folderWith(record('a', '1'));
    const { store } = openStore(folder, real, { readOnly: true });
    failsWith('readOnly', /reading only/, () => store.set(0, 'a', '2'));
    failsWith('readOnly', /reading only/, () => store.delete(0, 'a'));
    assert.ok(fs.readFileSync(file).equals(record('a', '1')));
  });
});

describe('locks of other programs', { skip }, () => {
  const holders: [name: string, command: string, args: (file: string) => string[]][] = [
    [
      'fcntl',
      'python3',
      (file) => [
        '-c',
        'import fcntl,sys\nf=open(sys.argv[1],"r+b")\nfcntl.lockf(f,fcntl.LOCK_EX)\nprint("held",flush=True)\nsys.stdin.read()',
        file,
      ],
    ],
    ['flock', 'flock', (file) => ['-x', file, 'sh', '-c', 'echo held; cat']],
  ];
  for (const [name, command, args] of holders) {
    it(`${name}: operations wait without blocking the event loop`, async (t) => {
      if (spawnSync(command, ['--version']).error) {
        t.skip(`${command} is not installed`);
        return;
      }
      const { folder, file } = folderWith(record('a', '1'));
      const { store } = openStore(folder, real);
      const holder = spawn(command, args(file), { stdio: ['pipe', 'pipe', 'inherit'] });
      const ended = new Promise((resolve) => holder.on('close', resolve));
      await new Promise((resolve) => holder.stdout.once('data', resolve));
      failsWith('locked', /\.kvp_pool_0 is locked/, () => store.get(0, 'a'));
      failsWith('locked', /\.kvp_pool_0 is locked/, () => store.set(0, 'a', '2'));
      const waiting = retryWhileLocked(() => store.set(0, 'a', '2'));
      assert.ok(waiting instanceof Promise);
      let settled = false;
      void waiting.then(() => (settled = true));
      await new Promise((resolve) => setTimeout(resolve, 20));
      assert.equal(settled, false);
      store.set(1, 'other', 'pool');
      holder.stdin.end();
      await ended;
      await waiting;
      assert.equal(store.get(0, 'a'), '2');
    });
  }

  it('ours are gone after every operation, failed ones too', () => {
    const { folder, file } = folderWith(record('a', '1'));
    const { store } = openStore(folder, real);
    const other = fs.openSync(file, 'r+');
    try {
      for (const operation of [
        () => store.get(0, 'a'),
        () => store.at(0, 9),
        () => store.set(0, 'b', '2'),
        () => store.delete(0, 'missing'),
        () => store.list(0),
      ]) {
        operation();
        assert.equal(real.tryLock(other, 'exclusive'), true);
        // Whoever holds the lock may have begun a change
        fs.utimesSync(file, 1, 1);
        failsWith('locked', /locked/, operation);
        fs.utimesSync(file, 2, 2);
        real.unlock(other);
      }
    } finally {
      fs.closeSync(other);
    }
  });

  it('do not keep a reader from what has not changed', () => {
    const { folder, file } = folderWith(record('a', '1'), record('b', '2'));
    const { store } = openStore(folder, real);
    assert.deepEqual(
      [store.get(0, 'a'), store.at(0, 1)?.value, store.get(0, 'c')],
      ['1', '2', undefined],
    );
    const other = fs.openSync(file, 'r+');
    try {
      assert.equal(real.tryLock(other, 'exclusive'), true);
      assert.deepEqual(
        [store.get(0, 'a'), store.at(0, 1)?.value, store.get(0, 'c')],
        ['1', '2', undefined],
      );
      assert.equal(store.at(0, 2), undefined);
      fs.writeSync(other, 'x', 512);
      failsWith('locked', /locked/, () => store.get(0, 'a'));
      real.unlock(other);
      assert.equal(store.get(0, 'a'), 'x');
    } finally {
      fs.closeSync(other);
    }
  });

  it('readers do not exclude each other', () => {
    const { folder, file } = folderWith(record('a', '1'));
    const { store } = openStore(folder, real);
    const other = fs.openSync(file, 'r');
    try {
      assert.equal(real.tryLock(other, 'shared'), true);
      assert.equal(store.get(0, 'a'), '1');
      failsWith('locked', /locked/, () => store.set(0, 'a', '2'));
    } finally {
      fs.closeSync(other);
    }
  });
});

describe('any sequence of operations', { skip }, () => {
  const key = fc.constantFrom('a', 'b', 'c', 'dé', 'e'.repeat(511));
  const value = fc
    .oneof(
      fc.constantFrom('', 'v', 'w'.repeat(2047)),
      fc.string({ unit: 'grapheme', maxLength: 40 }),
    )
    .filter((text) => !text.includes('\0'));
  const operation = fc.oneof(
    fc.record({ kind: fc.constant('set' as const), key, value }),
    fc.record({ kind: fc.constant('delete' as const), key }),
    fc.record({ kind: fc.constant('foreignAppend' as const), key, value }),
    fc.record({ kind: fc.constant('foreignSwap' as const) }),
    fc.record({ kind: fc.constant('foreignRemoveFirst' as const) }),
    fc.record({ kind: fc.constant('foreignReplace' as const) }),
  );

  it('matches a list of records, with other programs in between', () => {
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 40 }), (operations) => {
        const { folder, file } = folderWith();
        const { store } = openStore(folder, real);
        let model: { key: string; value: string }[] = [];
        const foreign = () =>
          fs.writeFileSync(
            file,
            Buffer.concat(model.map((entry) => record(entry.key, entry.value))),
          );
        for (const step of operations) {
          switch (step.kind) {
            case 'set': {
              store.set(0, step.key, step.value);
              if (model.some((entry) => entry.key === step.key)) {
                model = model.map((entry) =>
                  entry.key === step.key ? { ...entry, value: step.value } : entry,
                );
              } else model.push({ key: step.key, value: step.value });
              break;
            }
            case 'delete':
              assert.equal(
                store.delete(0, step.key),
                model.some((entry) => entry.key === step.key),
              );
              model = model.filter((entry) => entry.key !== step.key);
              break;
            case 'foreignAppend':
              // Other programs don't add a key twice either
              if (model.some((entry) => entry.key === step.key)) break;
              model.push({ key: step.key, value: step.value });
              fs.appendFileSync(file, record(step.key, step.value));
              break;
            case 'foreignSwap':
              model.reverse();
              foreign();
              break;
            case 'foreignRemoveFirst':
              model.shift();
              foreign();
              break;
            case 'foreignReplace':
              fs.rmSync(file);
              foreign();
              break;
          }
          for (const name of ['a', 'b', 'dé']) {
            assert.equal(store.get(0, name), model.find((entry) => entry.key === name)?.value);
          }
        }
        assert.deepEqual(store.list(0), model);
        assert.deepEqual(
          model.map((_, index) => store.at(0, index)),
          model,
        );
        assert.ok(
          fs
            .readFileSync(file)
            .equals(Buffer.concat(model.map((entry) => record(entry.key, entry.value)))),
        );
        store.close();
        fs.rmSync(path.dirname(folder), { recursive: true });
      }),
      { numRuns: 150 },
    );
  });
});
