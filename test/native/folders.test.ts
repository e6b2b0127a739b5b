import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { join } from 'node:path';
import { after, describe, it, type TestContext } from 'node:test';
import { native } from '../../native/index.ts';
import { type NativeError, STAT_SLOTS, StatSlot } from '../../native/interface.ts';
import { Compiler } from './compiler.ts';
import { temporaryFolder } from './pairs.ts';

const compiler = new Compiler();
after(() => compiler.remove());

const code = (expected: string) => (error: NativeError) => {
  assert.equal(error.code, expected, error.message);
  return true;
};

/** An open folder of the test's own. */
function folder(t: TestContext): { fd: number; path: string } {
  const path = temporaryFolder(t);
  return { fd: open(t, path), path };
}

function open(t: TestContext, path: string): number {
  return closing(t, fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY));
}

function closing(t: TestContext, fd: number): number {
  t.after(() => fs.closeSync(fd));
  return fd;
}

const identity = (of: fs.Stats): string => `${of.dev}:${of.ino}`;

/** A tree with every kind of link out of it and within it; `inside` is what paths begin in. */
function tree(path: string): string {
  const inside = join(path, 'inside');
  for (const one of ['inside/a/b', 'outside/secret'])
    fs.mkdirSync(join(path, one), { recursive: true });
  fs.writeFileSync(join(inside, 'file'), '');
  fs.symlinkSync('a', join(inside, 'near'));
  fs.symlinkSync('../outside', join(inside, 'up'));
  fs.symlinkSync(join(path, 'outside'), join(inside, 'far'));
  fs.symlinkSync('/a/b', join(inside, 'absolute'));
  fs.symlinkSync('loop', join(inside, 'loop'));
  fs.symlinkSync('nothing', join(inside, 'dangling'));
  fs.symlinkSync('/proc/self/cwd', join(inside, 'magic'));
  return inside;
}

/** What each way makes of a path: the folder it leads to, or an error's name. */
const PATHS: readonly [path: string, beneath: string, rooted: string, walk: string][] = [
  ['', '', '', ''],
  ['a', 'a', 'a', 'a'],
  ['a/b', 'a/b', 'a/b', 'a/b'],
  ['a//b/', 'a/b', 'a/b', 'a/b'],
  ['near/b', 'a/b', 'a/b', 'ENOTDIR'],
  ['absolute', 'EXDEV', 'a/b', 'ENOTDIR'],
  ['up/secret', 'EXDEV', 'ENOENT', 'ENOTDIR'],
  ['far/secret', 'EXDEV', 'ENOENT', 'ENOTDIR'],
  ['magic', 'EXDEV', 'ENOENT', 'ENOTDIR'],
  ['a/../../outside', 'EXDEV', 'ENOENT', 'EXDEV'],
  ['..', 'EXDEV', '', 'EXDEV'],
  ['/a', 'EXDEV', 'a', 'a'],
  ['loop', 'ELOOP', 'ELOOP', 'ENOTDIR'],
  ['dangling', 'ENOENT', 'ENOENT', 'ENOTDIR'],
  ['none', 'ENOENT', 'ENOENT', 'ENOENT'],
  ['file', 'ENOTDIR', 'ENOTDIR', 'ENOTDIR'],
];

const isCode = (text: string): boolean => /^E[A-Z]+$/.test(text);

describe('openFolder', () => {
  for (const [path, beneath, rooted] of PATHS) {
    const how = `${beneath || 'itself'} beneath, ${rooted || 'itself'} rooted`;
    it(`${JSON.stringify(path)}: ${how}`, (t) => {
      const inside = tree(temporaryFolder(t));
      const fd = open(t, inside);
      for (const [links, expected] of [
        ['beneath', beneath],
        ['rooted', rooted],
      ] as const) {
        const before = fs.readdirSync('/proc/self/fd').length;
        if (isCode(expected)) {
          assert.throws(() => native.openFolder(fd, path, links), code(expected));
          assert.equal(fs.readdirSync('/proc/self/fd').length, before);
        } else {
          const opened = native.openFolder(fd, path, links);
          const found = identity(fs.fstatSync(opened));
          fs.closeSync(opened);
          assert.equal(found, identity(fs.statSync(join(inside, expected))));
        }
      }
    });
  }

  it('stays inside while somebody swaps a folder for a link out of it', async (t) => {
    const path = temporaryFolder(t);
    const inside = tree(path);
    fs.mkdirSync(join(inside, 'swapped/secret'), { recursive: true });
    const fd = open(t, inside);
    const secret = identity(fs.statSync(join(path, 'outside/secret')));
    const swap = `cd "$0" && ln -s ../outside link && echo && while :; do
      mv -T swapped kept && mv -T link swapped && mv -T swapped link && mv -T kept swapped ||
      exit 1; done`;
    const swapper = spawn('sh', ['-c', swap, inside], {
      stdio: ['ignore', 'pipe', 'inherit'],
      detached: true,
    });
    const ended = new Promise((resolve) => swapper.once('close', resolve));
    await new Promise((resolve) => swapper.stdout.once('data', resolve));
    const outcomes = new Map<string, number>();
    const count = (what: string): void => void outcomes.set(what, (outcomes.get(what) ?? 0) + 1);
    try {
      // Until each kind of moment was met
      for (let i = 0; i < 2_000_000 && (i < 20_000 || outcomes.size < 3); i++) {
        try {
          const opened = native.openFolder(fd, 'swapped/secret', 'beneath');
          const found = identity(fs.fstatSync(opened));
          fs.closeSync(opened);
          assert.notEqual(found, secret);
          count('opened');
        } catch (error) {
          const { code } = error as NativeError;
          assert.ok(code === 'EXDEV' || code === 'ENOENT' || code === 'EAGAIN', `${error}`);
          count(code);
        }
      }
    } finally {
      // With the mv that it is waiting for
      process.kill(-swapper.pid!, 'SIGKILL');
      await ended;
    }
    assert.ok(
      (outcomes.get('opened') ?? 0) > 0 && (outcomes.get('EXDEV') ?? 0) > 0,
      JSON.stringify([...outcomes]),
    );
  });

  it('refuses what is no descriptor, no path, no way', (t) => {
    const { fd } = folder(t);
    assert.throws(() => native.openFolder(-1, '', 'beneath'), TypeError);
    assert.throws(() => native.openFolder(fd, 'a\0b', 'beneath'), TypeError);
    assert.throws(() => native.openFolder(fd, 'a', 'anyhow' as 'beneath'), TypeError);
    assert.throws(() => native.openFolder(999_999, 'a', 'beneath'), code('EBADF'));
  });
});

describe('the way without openat2', { skip: compiler.missing([]) ?? false }, () => {
  const SOURCES = [
    'test/native/core_folder.cpp',
    'native/core/folder.cpp',
    'native/core/errno_name.cpp',
  ];
  const program = compiler.missing([]) ? '' : compiler.build('folder', [], SOURCES);
  for (const [path, , , expected] of PATHS) {
    it(`${JSON.stringify(path)}: ${expected || 'itself'}`, (t) => {
      const inside = tree(temporaryFolder(t));
      const output = execFileSync(program, ['walk', inside, path], { encoding: 'utf8' }).trim();
      assert.equal(
        output,
        isCode(expected) ? expected : identity(fs.statSync(join(inside, expected))),
      );
    });
  }
});

describe('new folders and files', () => {
  it('are for their owner alone', (t) => {
    const { fd, path } = folder(t);
    const before = process.umask(0);
    try {
      const made = closing(t, native.makeFolder(fd, 'new'));
      assert.equal(fs.statSync(join(path, 'new')).mode & 0o7777, 0o700);
      assert.equal(identity(fs.fstatSync(made)), identity(fs.statSync(join(path, 'new'))));
      const named = closing(t, native.createFile(fd, 'file'));
      assert.equal(fs.fstatSync(named).mode & 0o7777, 0o600);
      const unnamed = closing(t, native.createFile(fd));
      assert.equal(fs.fstatSync(unnamed).mode & 0o7777, 0o600);
    } finally {
      process.umask(before);
    }
    assert.deepEqual(fs.readdirSync(path).sort(), ['file', 'new']);
  });

  it('take no name that is there, be it that of a link to nothing', (t) => {
    const { fd, path } = folder(t);
    fs.symlinkSync('nothing', join(path, 'link'));
    const unnamed = closing(t, native.createFile(fd));
    assert.throws(() => native.makeFolder(fd, 'link'), code('EEXIST'));
    assert.throws(() => native.createFile(fd, 'link'), code('EEXIST'));
    assert.throws(() => native.nameFile(unnamed, fd, 'link'), code('EEXIST'));
    assert.deepEqual(fs.readdirSync(path), ['link']);
  });

  it('appear with all that was written before', (t) => {
    const { fd, path } = folder(t);
    const unnamed = closing(t, native.createFile(fd));
    fs.writeSync(unnamed, 'whole');
    assert.deepEqual(fs.readdirSync(path), []);
    native.nameFile(unnamed, fd, 'file');
    assert.equal(fs.readFileSync(join(path, 'file'), 'utf8'), 'whole');
  });

  it('have names of one entry', (t) => {
    const { fd } = folder(t);
    const file = closing(t, native.createFile(fd));
    for (const bad of ['', '.', '..', 'a/b', '/a', 'a\0']) {
      assert.throws(() => native.makeFolder(fd, bad), TypeError, JSON.stringify(bad));
      assert.throws(() => native.createFile(fd, bad), TypeError);
      assert.throws(() => native.nameFile(file, fd, bad), TypeError);
      assert.throws(() => native.renameFile(fd, bad, fd, 'a', true), TypeError);
      assert.throws(() => native.renameFile(fd, 'a', fd, bad, true), TypeError);
      assert.throws(() => native.removeFile(fd, bad), TypeError);
      assert.throws(() => native.removeFolder(fd, bad), TypeError);
      assert.throws(() => native.statEntry(fd, bad, new BigInt64Array(STAT_SLOTS)), TypeError);
      assert.throws(() => native.copyOwnership(fd, bad, file), TypeError);
    }
  });
});

describe('renaming and removing', () => {
  it('replaces only when told to', (t) => {
    const { fd, path } = folder(t);
    for (const name of ['new', 'old']) fs.writeFileSync(join(path, name), name);
    assert.throws(() => native.renameFile(fd, 'new', fd, 'old', false), code('EEXIST'));
    native.renameFile(fd, 'new', fd, 'old', true);
    assert.equal(fs.readFileSync(join(path, 'old'), 'utf8'), 'new');
    native.renameFile(fd, 'old', fd, 'other', false);
    assert.deepEqual(fs.readdirSync(path), ['other']);
  });

  it('goes from one folder to another', (t) => {
    const { fd, path } = folder(t);
    const inner = closing(t, native.makeFolder(fd, 'inner'));
    fs.writeFileSync(join(path, 'file'), 'x');
    native.renameFile(fd, 'file', inner, 'file', false);
    assert.deepEqual(fs.readdirSync(join(path, 'inner')), ['file']);
  });

  it('replaces a link, not what it leads to, and no folder', (t) => {
    const { fd, path } = folder(t);
    fs.writeFileSync(join(path, 'precious'), 'precious');
    fs.symlinkSync('precious', join(path, 'link'));
    fs.mkdirSync(join(path, 'folder'));
    fs.writeFileSync(join(path, 'new'), 'new');
    assert.throws(() => native.renameFile(fd, 'new', fd, 'folder', true), code('EISDIR'));
    native.renameFile(fd, 'new', fd, 'link', true);
    assert.equal(fs.readFileSync(join(path, 'precious'), 'utf8'), 'precious');
    assert.equal(fs.lstatSync(join(path, 'link')).isFile(), true);
  });

  it('removes files as files, and folders that are empty', (t) => {
    const { fd, path } = folder(t);
    fs.mkdirSync(join(path, 'folder'));
    fs.writeFileSync(join(path, 'folder/file'), '');
    assert.throws(() => native.removeFile(fd, 'folder'), code('EISDIR'));
    assert.throws(() => native.removeFolder(fd, 'folder'), code('ENOTEMPTY'));
    native.removeFile(open(t, join(path, 'folder')), 'file');
    native.removeFolder(fd, 'folder');
    assert.throws(() => native.removeFile(fd, 'folder'), code('ENOENT'));
    assert.deepEqual(fs.readdirSync(path), []);
  });

  it('looks at a link itself', (t) => {
    const { fd, path } = folder(t);
    const stat = new BigInt64Array(STAT_SLOTS);
    assert.equal(native.statEntry(fd, 'link', stat), false);
    fs.symlinkSync('nothing', join(path, 'link'));
    assert.equal(native.statEntry(fd, 'link', stat), true);
    assert.equal(Number(stat[StatSlot.mode]) & fs.constants.S_IFMT, fs.constants.S_IFLNK);
    assert.throws(() => native.statEntry(fd, 'link', new BigInt64Array(3)), TypeError);
  });
});

describe('copyOwnership', () => {
  it('gives owner and mode, whatever they are', {
    skip: process.getuid?.() !== 0 && 'takes root',
  }, (t) => {
    const { fd, path } = folder(t);
    fs.writeFileSync(join(path, 'old'), '');
    fs.chownSync(join(path, 'old'), 12_345, 23_456);
    fs.chmodSync(join(path, 'old'), 0o4751);
    const file = closing(t, native.createFile(fd));
    native.copyOwnership(fd, 'old', file);
    const { uid, gid, mode } = fs.fstatSync(file);
    assert.deepEqual([uid, gid, mode & 0o7777], [12_345, 23_456, 0o4751]);
  });

  it('gives the access list, and takes away an inherited one', (t) => {
    const { fd, path } = folder(t);
    const python = (...words: string[]): string => {
      const ran = spawnSync(
        'python3',
        ['-c', `import os, sys; a = sys.argv[1:]; ${words[0]}`, ...words.slice(1)],
        {
          encoding: 'utf8',
        },
      );
      return ran.error
        ? 'python3 is not installed'
        : (ran.stderr.trim().split('\n').at(-1) ?? '') || ran.stdout.trim();
    };
    const list = (kind: string, text: string, of: string): string =>
      python(
        'os.setxattr(a[0], a[1], bytes.fromhex(a[2]))',
        join(path, of),
        `system.posix_acl_${kind}`,
        text,
      );
    // Version 2: user rw-, user 7 r--, group r--, mask r--, others ---
    const LIST =
      '0200000001000600ffffffff020004000700000004000400ffffffff10000400ffffffff20000000ffffffff';
    for (const name of ['listed', 'plain']) fs.writeFileSync(join(path, name), '', { mode: 0o640 });
    const problem = list('access', LIST, 'listed');
    if (problem !== '') {
      t.skip(`no access lists here: ${problem}`);
      return;
    }
    const NONE = 'OSError: [Errno 61] No data available: ';
    const listOf = (file: number): string => {
      const shown = `/proc/${process.pid}/fd/${file}`;
      return python('print(os.getxattr(a[0], "system.posix_acl_access").hex())', shown).replace(
        /'.*'$/,
        '',
      );
    };
    const first = closing(t, native.createFile(fd));
    native.copyOwnership(fd, 'listed', first);
    assert.equal(listOf(first), LIST);
    assert.equal(fs.fstatSync(first).mode & 0o777, 0o640);
    assert.equal(list('default', LIST, '.'), '');
    const second = closing(t, native.createFile(fd));
    assert.notEqual(listOf(second), NONE);
    native.copyOwnership(fd, 'plain', second);
    assert.equal(listOf(second), NONE);
    assert.equal(fs.fstatSync(second).mode & 0o777, 0o640);
  });

  it('follows no link, and takes nothing but a file for an example', (t) => {
    const { fd, path } = folder(t);
    fs.writeFileSync(join(path, 'file'), '', { mode: 0o644 });
    fs.symlinkSync('file', join(path, 'link'));
    fs.mkdirSync(join(path, 'folder'));
    execFileSync('mkfifo', [join(path, 'pipe')]);
    const file = closing(t, native.createFile(fd));
    for (const name of ['link', 'folder', 'pipe']) {
      assert.throws(() => native.copyOwnership(fd, name, file), code('EINVAL'));
    }
    assert.throws(() => native.copyOwnership(fd, 'none', file), code('ENOENT'));
    assert.equal(fs.fstatSync(file).mode & 0o777, 0o600);
  });
});
