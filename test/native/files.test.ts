import assert from 'node:assert/strict';
import { type ChildProcessByStdio, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { describe, it, type TestContext } from 'node:test';
import { native } from '../../native/index.ts';
import { type NativeError, STAT_SLOTS, StatSlot } from '../../native/interface.ts';
import { temporaryFolder } from './pairs.ts';

const noPython =
  spawnSync('python3', ['--version']).status === 0 ? false : 'python3 is not installed';
const code = (expected: string) => (error: NativeError) => error.code === expected;

/** Python, as another process that locks in each way; answers each command with one line. */
class Locker {
  private readonly process: ChildProcessByStdio<Writable, Readable, null>;

  constructor(t: TestContext, path: string) {
    const program = `
import fcntl, struct, sys
f = open(sys.argv[1], 'r+b')
OFD_SETLK = 37
def ofd(kind): fcntl.fcntl(f, OFD_SETLK, struct.pack('hhqqi4x', kind, 0, 0, 0, 0))
ways = {
  'flock-exclusive': lambda: fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB),
  'flock-shared': lambda: fcntl.flock(f, fcntl.LOCK_SH | fcntl.LOCK_NB),
  'flock-unlock': lambda: fcntl.flock(f, fcntl.LOCK_UN),
  'posix-exclusive': lambda: fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB),
  'posix-shared': lambda: fcntl.lockf(f, fcntl.LOCK_SH | fcntl.LOCK_NB),
  'posix-unlock': lambda: fcntl.lockf(f, fcntl.LOCK_UN),
  'ofd-exclusive': lambda: ofd(fcntl.F_WRLCK),
  'ofd-shared': lambda: ofd(fcntl.F_RDLCK),
  'ofd-unlock': lambda: ofd(fcntl.F_UNLCK),
}
for line in sys.stdin:
  try:
    ways[line.strip()]()
    print('done', flush=True)
  except (BlockingIOError, PermissionError):
    print('refused', flush=True)
`;
    this.process = spawn('python3', ['-c', program, path], { stdio: ['pipe', 'pipe', 'inherit'] });
    t.after(async () => {
      const closed = once(this.process, 'close');
      this.process.stdin.end();
      await closed;
    });
  }

  async run(command: string): Promise<string> {
    this.process.stdin.write(`${command}\n`);
    let answer = '';
    while (!answer.endsWith('\n')) answer += String((await once(this.process.stdout, 'data'))[0]);
    return answer.trim();
  }
}

function open(t: TestContext, path: string): number {
  const fd = openSync(path, 'r+');
  t.after(() => closeSync(fd));
  return fd;
}

describe('locks against another process', { skip: noPython }, () => {
  for (const way of ['flock', 'posix', 'ofd']) {
    it(`excludes and is excluded: ${way}`, async (t) => {
      const path = join(temporaryFolder(t), 'pool');
      writeFileSync(path, 'x');
      const fd = open(t, path);
      const other = new Locker(t, path);

      assert.equal(await other.run(`${way}-exclusive`), 'done');
      assert.equal(native.tryLock(fd, 'exclusive'), false);
      assert.equal(native.tryLock(fd, 'shared'), false);
      assert.equal(await other.run(`${way}-unlock`), 'done');

      // Neither was kept by the attempts: all three ways are free.
      for (const each of ['flock', 'posix', 'ofd']) {
        assert.equal(await other.run(`${each}-exclusive`), 'done');
        assert.equal(await other.run(`${each}-unlock`), 'done');
      }

      assert.equal(await other.run(`${way}-shared`), 'done');
      assert.equal(native.tryLock(fd, 'exclusive'), false);
      assert.equal(native.tryLock(fd, 'shared'), true);
      assert.equal(await other.run(`${way}-unlock`), 'done');
      assert.equal(await other.run(`${way}-exclusive`), 'refused');
      assert.equal(await other.run(`${way}-shared`), 'done');
      assert.equal(await other.run(`${way}-unlock`), 'done');

      // From shared to exclusive, and back to nothing.
      assert.equal(native.tryLock(fd, 'exclusive'), true);
      assert.equal(await other.run(`${way}-exclusive`), 'refused');
      assert.equal(await other.run(`${way}-shared`), 'refused');
      native.unlock(fd);
      assert.equal(await other.run(`${way}-exclusive`), 'done');
    });
  }

  it('holds nothing after a failed conversion from shared to exclusive', async (t) => {
    const path = join(temporaryFolder(t), 'pool');
    writeFileSync(path, 'x');
    const fd = open(t, path);
    const other = new Locker(t, path);
    assert.equal(native.tryLock(fd, 'shared'), true);
    assert.equal(await other.run('flock-shared'), 'done');
    assert.equal(native.tryLock(fd, 'exclusive'), false);
    assert.equal(await other.run('flock-exclusive'), 'done');
    assert.equal(await other.run('ofd-exclusive'), 'done');
  });

  it('lets go when the descriptor is closed', async (t) => {
    const path = join(temporaryFolder(t), 'pool');
    writeFileSync(path, 'x');
    const fd = openSync(path, 'r+');
    const other = new Locker(t, path);
    assert.equal(native.tryLock(fd, 'exclusive'), true);
    closeSync(fd);
    assert.equal(await other.run('flock-exclusive'), 'done');
    assert.equal(await other.run('ofd-exclusive'), 'done');
  });
});

it('locks two descriptors of one process against each other', (t) => {
  const path = join(temporaryFolder(t), 'pool');
  writeFileSync(path, 'x');
  const [first, second] = [open(t, path), open(t, path)];
  assert.equal(native.tryLock(first, 'exclusive'), true);
  assert.equal(native.tryLock(first, 'exclusive'), true);
  assert.equal(native.tryLock(second, 'shared'), false);
  native.unlock(first);
  native.unlock(first);
  assert.equal(native.tryLock(second, 'shared'), true);
  assert.throws(() => native.tryLock(1_000_000, 'shared'), code('EBADF'));
  assert.throws(() => native.unlock(1_000_000), code('EBADF'));
  assert.throws(() => native.tryLock(first, 'other' as 'shared'), TypeError);
});

it('stat tells what fs.stat tells', (t) => {
  const path = join(temporaryFolder(t), 'pool');
  writeFileSync(path, 'hello');
  const slots = new BigInt64Array(STAT_SLOTS);
  const expected = statSync(path, { bigint: true });
  for (const file of [path, open(t, path)]) {
    slots.fill(0n);
    assert.equal(native.stat(file, slots), true);
    assert.deepEqual(
      {
        dev: slots[StatSlot.dev],
        ino: slots[StatSlot.ino],
        size: slots[StatSlot.sizeBytes],
        mtimeNs: slots[StatSlot.mtimeNs],
        ctimeNs: slots[StatSlot.ctimeNs],
        mode: slots[StatSlot.mode],
        nlink: slots[StatSlot.nlink],
        uid: slots[StatSlot.uid],
      },
      {
        dev: expected.dev,
        ino: expected.ino,
        size: 5n,
        mtimeNs: expected.mtimeNs,
        ctimeNs: expected.ctimeNs,
        mode: expected.mode,
        nlink: 1n,
        uid: expected.uid,
      },
    );
  }
  assert.equal(native.stat(`${path}-absent`, slots), false);
  assert.equal(native.stat(`${path}/below-a-file`, slots), false);
  assert.throws(() => native.stat(1_000_000, slots), code('EBADF'));
  assert.throws(() => native.stat(`/${'x'.repeat(300)}`, slots), code('ENAMETOOLONG'));
  assert.throws(() => native.stat(path, new BigInt64Array(STAT_SLOTS - 1)), TypeError);
  assert.throws(
    () => native.stat(path, new BigUint64Array(STAT_SLOTS) as unknown as BigInt64Array),
    TypeError,
  );
});

describe('writeWhole', () => {
  it('writes at a position, within a page, across pages, and beyond the end', (t) => {
    const path = join(temporaryFolder(t), 'pool');
    writeFileSync(path, Buffer.alloc(10_000, '.'));
    const fd = open(t, path);
    const expected = Buffer.alloc(22_000, '.');
    for (const [position, bytes, letter] of [
      [0, 1, 'a'],
      [4000, 96, 'b'],
      [4096, 4096, 'c'],
      [8100, 200, 'd'],
      [9000, 13_000, 'e'],
    ] as const) {
      expected.fill(letter, position, position + bytes);
      assert.equal(native.writeWhole(fd, Buffer.alloc(bytes, letter), position), bytes);
    }
    assert.deepEqual(readFileSync(path), expected);
    assert.equal(native.writeWhole(fd, new Uint8Array(), 0), 0);
    assert.deepEqual(readFileSync(path), expected);
  });

  it('leaves what a model leaves, whatever differs', (t) => {
    const path = join(temporaryFolder(t), 'pool');
    const model = Buffer.alloc(12_000, 1);
    writeFileSync(path, model);
    const fd = open(t, path);
    // A fixed sequence (a linear congruential generator), so that a failure repeats.
    let state = 1;
    const random = (below: number): number => {
      state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
      return (state >>> 8) % below;
    };
    for (let round = 0; round < 3000; round += 1) {
      const position = random(9000);
      const bytes = Buffer.from(model.subarray(position, position + 1 + random(3000)));
      for (let change = random(3); change > 0; change -= 1)
        bytes[random(bytes.length)] = random(256);
      if (random(4) === 0) bytes.fill(random(256), random(bytes.length));
      assert.equal(native.writeWhole(fd, bytes, position), bytes.length);
      bytes.copy(model, position);
      if (!readFileSync(path).equals(model))
        assert.fail(`round ${round}: ${bytes.length} at ${position}`);
    }
  });

  it('moves the times of the file also when nothing differs', (t) => {
    const path = join(temporaryFolder(t), 'pool');
    writeFileSync(path, Buffer.alloc(8192, 1));
    utimesSync(path, 1, 1);
    native.writeWhole(open(t, path), Buffer.alloc(2560, 1), 3000);
    assert.ok(statSync(path).mtimeMs > 1_000_000);
  });

  it('leaves a gap of zeros when it writes beyond the end', (t) => {
    const path = join(temporaryFolder(t), 'pool');
    writeFileSync(path, 'x');
    native.writeWhole(open(t, path), Buffer.from('y'), 5000);
    const file = readFileSync(path);
    assert.equal(file.length, 5001);
    assert.ok(file.subarray(1, 5000).every((byte) => byte === 0));
  });

  it('tells what went wrong', (t) => {
    const path = join(temporaryFolder(t), 'pool');
    writeFileSync(path, 'x');
    const readOnly = openSync(path, 'r');
    t.after(() => closeSync(readOnly));
    for (const bytes of [1, 10_000]) {
      assert.throws(() => native.writeWhole(readOnly, new Uint8Array(bytes), 0), code('EBADF'));
      assert.throws(() => native.writeWhole(1_000_000, new Uint8Array(bytes), 0), code('EBADF'));
      const full = openSync('/dev/full', 'r+');
      assert.throws(() => native.writeWhole(full, new Uint8Array(bytes), 0), code('ENOSPC'));
      closeSync(full);
    }
    const fd = open(t, path);
    for (const position of [-1, 0.5, Number.NaN, 2 ** 60]) {
      assert.throws(() => native.writeWhole(fd, new Uint8Array(1), position), TypeError);
    }
    assert.equal(readFileSync(path, 'latin1'), 'x');
  });

  it('does not disturb child processes of Node', async (t) => {
    const path = join(temporaryFolder(t), 'pool');
    writeFileSync(path, '');
    const fd = open(t, path);
    const children = Array.from({ length: 8 }, (_, at) =>
      spawn('sh', ['-c', `sleep 0.0${at}; exit ${at}`]),
    );
    const statuses = Promise.all(children.map(async (child) => (await once(child, 'exit'))[0]));
    const bytes = new Uint8Array(10_000).fill(1);
    for (let count = 0; count < 300; count += 1) {
      native.writeWhole(fd, bytes, 0);
      if (count % 30 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    assert.deepEqual(await statuses, [0, 1, 2, 3, 4, 5, 6, 7]);
    // Nor leaves one of its own: waited-for children are no zombies.
    const children0 = readFileSync(`/proc/self/task/${process.pid}/children`, 'latin1')
      .trim()
      .split(/\s+/)
      .filter(Boolean);
    const zombies = children0.filter((pid) =>
      readFileSync(`/proc/${pid}/stat`, 'latin1').includes(') Z '),
    );
    assert.deepEqual(zombies, []);
  });
});

describe('removeRange', () => {
  it('removes at the start, in the middle, at the end, and everything', (t) => {
    const path = join(temporaryFolder(t), 'pool');
    // More than its buffer, so that it moves in several steps.
    const start = Buffer.alloc(700_000);
    for (let at = 0; at < start.length; at += 4) start.writeUInt32LE(at, at);
    for (const [position, length] of [
      [0, 2560],
      [100_000, 2560],
      [100_001, 7],
      [0, 400_000],
      [699_000, 1000],
      [5000, 0],
      [0, 700_000],
    ] as const) {
      writeFileSync(path, start);
      const fd = openSync(path, 'r+');
      native.removeRange(fd, position, length, start.length);
      closeSync(fd);
      const expected = Buffer.concat([
        start.subarray(0, position),
        start.subarray(position + length),
      ]);
      assert.ok(readFileSync(path).equals(expected), `${length} at ${position}`);
    }
  });

  it(
    'changes nothing when the size is stale, the range is outside, or the file is ' + 'read-only',
    (t) => {
      const path = join(temporaryFolder(t), 'pool');
      writeFileSync(path, 'abcdef');
      const fd = open(t, path);
      assert.throws(() => native.removeRange(fd, 0, 1, 5), code('ESTALE'));
      assert.throws(() => native.removeRange(fd, 0, 1, 7), code('ESTALE'));
      assert.throws(() => native.removeRange(fd, 3, 4, 6), code('EINVAL'));
      assert.throws(() => native.removeRange(fd, 7, 0, 6), code('EINVAL'));
      assert.throws(() => native.removeRange(fd, -1, 1, 6), TypeError);
      const readOnly = openSync(path, 'r');
      t.after(() => closeSync(readOnly));
      assert.throws(() => native.removeRange(readOnly, 0, 1, 6), code('EBADF'));
      assert.equal(readFileSync(path, 'latin1'), 'abcdef');
    },
  );
});

describe('notify', () => {
  it('tells when nobody listens', (t) => {
    assert.equal(native.notify(join(temporaryFolder(t), 'absent'), 'READY=1'), false);
    assert.equal(native.notify(`@vmic-absent-${process.pid}`, 'READY=1'), false);
    assert.throws(() => native.notify('vsock:2:1', 'READY=1'), code('EAFNOSUPPORT'));
    assert.throws(() => native.notify('', 'READY=1'), code('EAFNOSUPPORT'));
    assert.throws(() => native.notify(`/${'x'.repeat(200)}`, 'READY=1'), code('ENAMETOOLONG'));
  });

  for (const abstract of [false, true]) {
    it(`sends whole datagrams to ${abstract ? 'an abstract name' : 'a path'}`, {
      skip: noPython,
    }, async (t) => {
      const address = abstract ? `@vmic-test-${process.pid}` : join(temporaryFolder(t), 'notify');
      const program = `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
name = sys.argv[1]
s.bind('\\0' + name[1:] if name[0] == '@' else name)
print('bound', flush=True)
for _ in range(2): print(repr(s.recv(65536)), flush=True)
`;
      const child = spawn('python3', ['-c', program, address], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const closed = once(child, 'close');
      let output = '';
      child.stdout.on('data', (chunk) => {
        output += chunk;
      });
      await once(child.stdout, 'data');
      assert.equal(native.notify(address, 'READY=1\nSTATUS=grün'), true);
      assert.equal(native.notify(address, 'STOPPING=1'), true);
      await closed;
      assert.equal(output, "bound\nb'READY=1\\nSTATUS=gr\\xc3\\xbcn'\nb'STOPPING=1'\n");
    });
  }
});
