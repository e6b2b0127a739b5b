import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { FileProblem } from '../../../daemons/fcopy/ports.ts';
import { native } from '../../../native/index.ts';
import { nativeError } from '../../../native/memory/index.ts';
import { Disk, partsOf, withoutUnnamed } from './disk.ts';

const asRoot = process.getuid?.() === 0 ? false : 'takes root';

const problem = (result: FileProblem['result'], words?: RegExp) => (error: unknown) => {
  assert.ok(error instanceof FileProblem, `a FileProblem, not ${error}`);
  assert.equal(error.result, result, error.message);
  if (words) assert.match(error.message, words);
  return true;
};

const modeOf = (file: string): number => fs.statSync(file).mode & 0o7777;

for (const [kind, on] of [
  ['files without a name until they are whole', native],
  ['files with a temporary name, where there is no other way', withoutUnnamed],
] as const) {
  const hidden = on === withoutUnnamed;
  const disk = (t: TestContext, policy: ConstructorParameters<typeof Disk>[1] = {}): Disk =>
    new Disk(t, policy, on);

  describe(kind, () => {
    test('appear whole, with their owner and mode, and leave nothing open', async (t) => {
      const at = disk(t, { mode: 0o640 });
      const incoming = at.create(`${at.inside}/file`, 5);
      incoming.sink.write(Buffer.from('wh'));
      const names = Object.keys(at.list());
      assert.equal(names.length, hidden ? 1 : 0);
      for (const name of names) assert.match(name, /^\.vmic-fcopy-[0-9a-z]+$/);
      incoming.sink.write(Buffer.from('ole'));
      await incoming.sync();
      await incoming.publish();
      incoming.close();
      incoming.close();
      assert.deepEqual(at.list(), { file: 'whole' });
      assert.equal(modeOf(`${at.inside}/file`), 0o640);
      assert.equal(fs.statSync(`${at.inside}/file`).uid, process.getuid?.());
      assert.equal(at.openDescriptors, 0);
      assert.equal(fs.existsSync(at.noteFile), false);
    });

    test('leave nothing when they are given up', (t) => {
      const at = disk(t);
      for (const size of [0, 5]) {
        const incoming = at.create(`${at.inside}/a/b/file`, size, { createPath: true });
        incoming.sink.write(Buffer.alloc(Math.min(size, 3)));
        incoming.close();
        assert.deepEqual(
          [at.list(), at.openDescriptors, fs.existsSync(at.noteFile)],
          [{}, 0, false],
        );
      }
    });

    test('belong to whom the configuration says', { skip: asRoot }, async (t) => {
      const at = disk(t, { owner: { uid: 12_345, gid: 23_456 }, mode: 0o4750, folderMode: 0o2771 });
      await at.copy(`${at.inside}/a/file`, 'x', { createPath: true });
      for (const [name, mode] of [
        ['a', 0o2771],
        ['a/file', 0o4750],
      ] as const) {
        const { uid, gid } = fs.statSync(`${at.inside}/${name}`);
        assert.deepEqual([uid, gid, modeOf(`${at.inside}/${name}`)], [12_345, 23_456, mode], name);
      }
    });

    test('make folders when asked to, as late as the file itself', async (t) => {
      const at = disk(t, { folderMode: 0o750 });
      fs.mkdirSync(`${at.inside}/there`);
      assert.throws(() => at.create(`${at.inside}/there/a/file`, 0), problem('absent'));
      const incoming = at.create(`${at.inside}/there/a/b/file`, 0, { createPath: true });
      assert.equal(at.list()['there/a'], undefined);
      await incoming.publish();
      incoming.close();
      assert.deepEqual(at.list(), {
        there: '/',
        'there/a': '/',
        'there/a/b': '/',
        'there/a/b/file': '',
      });
      assert.deepEqual(
        [modeOf(`${at.inside}/there/a`), modeOf(`${at.inside}/there/a/b`)],
        [0o750, 0o750],
      );
      assert.equal(at.openDescriptors, 0);
    });

    test('use folders that appeared meanwhile, and remove only those they made', async (t) => {
      const at = disk(t);
      const late = at.create(`${at.inside}/a/b/file`, 0, { createPath: true });
      fs.mkdirSync(`${at.inside}/a`);
      await late.publish();
      late.close();
      assert.equal(at.list()['a/b/file'], '');
      const beaten = at.create(`${at.inside}/a/c/d/file`, 0, { createPath: true });
      fs.mkdirSync(`${at.inside}/a/c`);
      fs.symlinkSync(at.outside, `${at.inside}/a/c/d`);
      assert.throws(() => void beaten.publish(), problem('refused', /symbolic link/));
      beaten.close();
      assert.deepEqual(at.list(at.outside), {});
      const full = at.create(`${at.inside}/e/f/file`, 0, { createPath: true });
      fs.mkdirSync(`${at.inside}/e`);
      fs.writeFileSync(`${at.inside}/e/f`, 'a file');
      assert.throws(() => void full.publish(), problem('refused', /no folder/));
      full.close();
      assert.deepEqual([at.list()['e'], at.list()['e/f'], at.openDescriptors], ['/', 'a file', 0]);
    });

    test('take no place that is taken, also one taken meanwhile', async (t) => {
      const at = disk(t);
      fs.writeFileSync(`${at.inside}/file`, 'old');
      assert.throws(() => at.create(`${at.inside}/file`, 1), problem('exists'));
      const incoming = at.create(`${at.inside}/late`, 0);
      fs.writeFileSync(`${at.inside}/late`, 'faster');
      assert.throws(() => void incoming.publish(), problem('exists'));
      incoming.close();
      assert.deepEqual(at.list(), { file: 'old', late: 'faster' });
      assert.equal(at.openDescriptors, 0);
    });

    test('replace a file at once, with its owner and mode', { skip: asRoot }, async (t) => {
      const at = disk(t, { owner: { uid: 1, gid: 1 } });
      fs.writeFileSync(`${at.inside}/file`, 'old and longer');
      fs.chownSync(`${at.inside}/file`, 12_345, 23_456);
      fs.chmodSync(`${at.inside}/file`, 0o4701);
      fs.linkSync(`${at.inside}/file`, `${at.inside}/other`);
      const reader = fs.openSync(`${at.inside}/file`, 'r');
      await at.copy(`${at.inside}/file`, 'new', { overwrite: true });
      // Who had it open goes on reading the old one, whole; so does its other name
      assert.equal(fs.readFileSync(reader, 'utf8'), 'old and longer');
      fs.closeSync(reader);
      assert.deepEqual(at.list(), { file: 'new', other: 'old and longer' });
      const { uid, gid } = fs.statSync(`${at.inside}/file`);
      assert.deepEqual([uid, gid, modeOf(`${at.inside}/file`)], [12_345, 23_456, 0o4701]);
      assert.deepEqual([at.openDescriptors, fs.existsSync(at.noteFile)], [0, false]);
    });

    test('may replace what is no longer there, or there only since a moment', async (t) => {
      const at = disk(t);
      fs.writeFileSync(`${at.inside}/file`, 'old');
      const gone = at.create(`${at.inside}/file`, 0, { overwrite: true });
      fs.rmSync(`${at.inside}/file`);
      await gone.publish();
      gone.close();
      const late = at.create(`${at.inside}/late`, 0, { overwrite: true });
      fs.writeFileSync(`${at.inside}/late`, 'faster', { mode: 0o600 });
      await late.publish();
      late.close();
      assert.deepEqual(at.list(), { file: '', late: '' });
      assert.equal(modeOf(`${at.inside}/late`), 0o600);
    });

    test('replace nothing that is no file', async (t) => {
      const at = disk(t);
      const make: Record<string, (name: string) => void> = {
        folder: (name) => fs.mkdirSync(name),
        link: (name) => fs.symlinkSync(`${at.outside}/file`, name),
        pipe: (name) => execFileSync('mkfifo', [name]),
        ...(asRoot
          ? {}
          : { device: (name: string) => execFileSync('mknod', [name, 'c', '1', '3']) }),
      };
      fs.writeFileSync(`${at.outside}/file`, 'precious');
      for (const [name, create] of Object.entries(make)) {
        const file = `${at.inside}/${name}`;
        // There already; and put there at the last moment
        create(file);
        assert.throws(() => at.create(file, 0), problem('exists'));
        assert.throws(() => at.create(file, 0, { overwrite: true }), problem('refused', /no file/));
        fs.rmSync(file, { recursive: true });
        const incoming = at.create(file, 0, { overwrite: true });
        create(file);
        assert.throws(() => void incoming.publish(), problem('refused', /no file/));
        incoming.close();
        fs.rmSync(file, { recursive: true });
      }
      assert.deepEqual([at.list(), at.list(at.outside)], [{}, { file: 'precious' }]);
      assert.equal(at.openDescriptors, 0);
    });

    test('stay below their root, whatever links there are', async (t) => {
      const at = disk(t);
      fs.mkdirSync(`${at.inside}/folder`);
      fs.symlinkSync('folder', `${at.inside}/near`);
      fs.symlinkSync('../outside', `${at.inside}/up`);
      fs.symlinkSync(at.outside, `${at.inside}/far`);
      fs.symlinkSync('/proc/self/cwd', `${at.inside}/magic`);
      fs.symlinkSync('loop', `${at.inside}/loop`);
      await at.copy(`${at.inside}/near/file`, 'x');
      assert.equal(at.list()['folder/file'], 'x');
      for (const name of ['up', 'far', 'magic']) {
        for (const createPath of [false, true]) {
          assert.throws(
            () => at.create(`${at.inside}/${name}/file`, 0, { createPath }),
            problem('refused', /symbolic link/),
          );
        }
        assert.throws(
          () => at.create(`${at.inside}/${name}/new/file`, 0, { createPath: true }),
          problem('refused'),
        );
      }
      assert.throws(() => at.create(`${at.inside}/loop/file`, 0), problem('refused'));
      assert.deepEqual(at.list(at.outside), {});
      assert.equal(at.openDescriptors, 0);
    });

    test('do not follow a folder that is moved out of the root, or replaced', async (t) => {
      const at = disk(t);
      for (const where of ['moved', 'replaced', 'linked'] as const) {
        fs.mkdirSync(`${at.inside}/folder`);
        const incoming = at.create(`${at.inside}/folder/file`, 0);
        fs.renameSync(`${at.inside}/folder`, `${at.outside}/${where}`);
        if (where === 'replaced') fs.mkdirSync(`${at.inside}/folder`);
        if (where === 'linked') fs.symlinkSync(`../outside/${where}`, `${at.inside}/folder`);
        const expected = { moved: 'failed', replaced: 'failed', linked: 'refused' } as const;
        assert.throws(() => void incoming.publish(), problem(expected[where]));
        incoming.close();
        fs.rmSync(`${at.inside}/folder`, { recursive: true, force: true });
      }
      assert.deepEqual(at.list(at.outside), { moved: '/', replaced: '/', linked: '/' });
      assert.equal(at.openDescriptors, 0);
    });
  });
}

describe('policy', () => {
  test('a file in none of the roots is refused; the innermost root counts', async (t) => {
    const at = new Disk(t);
    assert.throws(() => at.create(`${at.outside}/file`, 0), problem('refused', /fcopy\.roots/));
    // By its letters alone it is a neighbour, not below
    assert.throws(() => at.create(`${at.inside}side/file`, 0), problem('refused', /fcopy\.roots/));
    fs.mkdirSync(`${at.inside}/inner`);
    fs.symlinkSync('../other', `${at.inside}/inner/up`);
    fs.mkdirSync(`${at.inside}/other`);
    const roots = [partsOf(at.inside), partsOf(`${at.inside}/inner`)].map((folders) => ({
      folders,
    }));
    const two = new Disk(t, { roots });
    assert.throws(
      () => two.create(`${at.inside}/inner/up/file`, 0),
      problem('refused', /symbolic link/),
    );
    await two.copy(`${at.inside}/other/file`, 'x');
    assert.equal(at.list()['other/file'], 'x');
  });

  test('a root that is not there is a refusal, not a folder to be made', (t) => {
    const at = new Disk(t, { roots: [{ folders: ['vmic-no-such-root'] }] });
    assert.throws(
      () => at.create('/vmic-no-such-root/file', 0, { createPath: true }),
      problem('absent'),
    );
    assert.equal(at.openDescriptors, 0);
  });

  test("below the machine's own root links may begin at the root", async (t) => {
    const at = new Disk(t, { roots: [{ folders: [] }] });
    fs.symlinkSync(at.outside, `${at.inside}/far`);
    await at.copy(`${at.inside}/far/file`, 'x');
    assert.deepEqual(at.list(at.outside), { file: 'x' });
    assert.throws(() => at.create('/proc/self/cwd/file', 0), problem('refused'));
  });

  test('a reserve is kept', (t) => {
    const { bavail, bsize } = fs.statfsSync(new Disk(t).folder);
    const free = bavail * bsize;
    const kept = new Disk(t, { reserveBytes: BigInt(free) * 2n });
    assert.throws(() => kept.create(`${kept.inside}/file`, 0), problem('diskFull', /reserved/));
    const none = new Disk(t);
    assert.throws(() => none.create(`${none.inside}/file`, free * 2), problem('diskFull'));
    none.create(`${none.inside}/file`, 1).close();
    assert.deepEqual([none.list(), none.openDescriptors, kept.openDescriptors], [{}, 0, 0]);
  });

  test('what is no file system for files is a failure in words', (t) => {
    const at = new Disk(t, { roots: [{ folders: [] }] });
    for (const file of ['/proc/file', '/sys/kernel/file']) {
      assert.throws(() => at.create(file, 0), problem('failed'), file);
    }
    assert.throws(() => at.create('/dev/null/file', 0), problem('refused', /no folder/));
    assert.deepEqual([at.openDescriptors, fs.existsSync(at.noteFile)], [0, false]);
  });
});

test('whatever else naming fails with leaves nothing, and is told as a failure', async (t) => {
  for (const code of ['EXDEV', 'EIO', 'EROFS', 'EMLINK']) {
    const failing: typeof native = Object.assign(Object.create(native), {
      nameFile: () => {
        throw nativeError(code, 'linkat');
      },
    });
    const at = new Disk(t, {}, failing);
    const incoming = at.create(`${at.inside}/a/b/file`, 0, { createPath: true });
    assert.throws(() => void incoming.publish(), problem('failed', new RegExp(code)));
    incoming.close();
    assert.deepEqual([at.list(), at.openDescriptors], [{}, 0], code);
  }
});

test('a disk that fills is told as full, at the start and on the way', { skip: asRoot }, (t) => {
  const script = path.join(import.meta.dirname, 'full-disk.ts');
  const at = new Disk(t);
  const mount =
    `mount -t tmpfs -o size=256k none "${at.inside}" && exec "$0" --import tsx "${script}" ` +
    `"${at.inside}"`;
  const ran = spawnSync('unshare', ['-m', 'sh', '-c', mount, process.execPath], {
    encoding: 'utf8',
  });
  if (ran.error || /unshare failed|permission denied/i.test(ran.stderr)) {
    t.skip(`no file system of its own: ${ran.error?.message ?? ran.stderr}`);
    return;
  }
  assert.equal(ran.status, 0, ran.stderr);
  assert.deepEqual(JSON.parse(ran.stdout), {
    atTheStart: 'diskFull',
    onTheWay: 'ENOSPC',
    wholeParts: true,
    afterwards: [],
    fitsAgain: 1000,
  });
});
