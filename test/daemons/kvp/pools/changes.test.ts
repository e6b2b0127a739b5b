import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { retryWhileLocked } from '../../../../daemons/kvp/pools/index.ts';
import { newFolder, openStore, record } from './folder.ts';
import { failsWith, folderWith, keysOf, real, skip } from './pool-folder.ts';

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

describe('locks of other programs', { skip }, () => {
  const holders: [name: string, command: string, args: (file: string) => string[]][] = [
    [
      'fcntl',
      'python3',
      (file) => [
        '-c',
        'import fcntl,sys\nf=open(sys.argv[1],"r+b")\nfcntl.lockf(f,fcntl.LOCK_EX)\n' +
          'print("held",flush=True)\nsys.stdin.read()',
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
