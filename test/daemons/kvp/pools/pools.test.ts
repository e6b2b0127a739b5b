import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { newFolder, openStore, poolPath, record } from './folder.ts';
import { failsWith, folderWith, keysOf, real, skip } from './pool-folder.ts';

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
