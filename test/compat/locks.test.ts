/**
 * Another program appends to a pool under a lock while the host sets keys in it: nothing of either
 * may be lost.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { test } from 'node:test';
import { enumerate, remove, set } from './raw-host.ts';
import { missingReference } from './reference.ts';
import { decodeRecords, encodeRecords, type Kind, Subject } from './subject.ts';

const POOL = 1;
const APPENDS = 500;

/**
 * How guest programs do it: cloud-init and azure-init with flock, what was written for the C daemon
 * with fcntl.
 */
const appender = (lock: 'lockf' | 'flock', file: string): string => `
import fcntl, os, time
for i in range(${APPENDS}):
    fd = os.open(${JSON.stringify(file)}, os.O_RDWR | os.O_APPEND)
    fcntl.${lock}(fd, fcntl.LOCK_EX)
    key, value = "theirs%04d" % i, "value %d" % i
    os.write(fd, key.encode().ljust(512, b"\\0") + value.encode().ljust(2048, b"\\0"))
    os.close(fd)
    time.sleep(0.002)
`;

async function compete(kind: Kind, lock: 'lockf' | 'flock') {
  const subject = new Subject(kind);
  try {
    subject.write(
      POOL,
      encodeRecords(Array.from({ length: 20 }, (_, i) => ({ key: `host${i}`, value: 'at first' }))),
    );
    await subject.start();
    const child = spawn('/usr/bin/python3', ['-c', appender(lock, subject.file(POOL))], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    let exit: number | string | null | undefined;
    child.on('error', (error) => {
      exit = error.message;
    });
    child.on('close', (code) => {
      exit = code;
    });
    const refused: string[] = [];
    const wanted = new Map(Array.from({ length: 20 }, (_, i) => [`host${i}`, 'at first']));
    let changes = 0;
    for (; exit === undefined; changes++) {
      // Sets in place, a new key now and then, and its removal, which moves all records behind it
      const key = changes % 10 === 9 ? 'comes and goes' : `host${changes % 20}`;
      const value = `${changes}`.padEnd(10 + (changes % 1800), '.');
      const isThere = wanted.has('comes and goes');
      const request =
        key === 'comes and goes' && isThere ? remove(POOL, key) : set(POOL, key, value);
      const { status } = await subject.host.ask(request);
      if (status !== 0) refused.push(`${key}: 0x${status.toString(16)}`);
      if (key === 'comes and goes' && isThere) wanted.delete(key);
      else wanted.set(key, value);
    }
    assert.equal(exit, 0);
    const bytes = subject.bytes(POOL);
    const records = decodeRecords(bytes);
    const found = new Map(records.map(({ key, value }) => [key, value]));
    const lost = Array.from({ length: APPENDS }, (_, i) => i).filter(
      (i) => found.get(`theirs${String(i).padStart(4, '0')}`) !== `value ${i}`,
    );
    const stale = [...wanted]
      .filter(([key, value]) => found.get(key) !== value)
      .map(([key]) => key);
    const last = await subject.host.ask(enumerate(POOL, records.length - 1));
    return { refused, changes, lost, stale, records, wanted, bytes, last };
  } finally {
    await subject.dispose();
  }
}

for (const lock of ['lockf', 'flock'] as const) {
  test(`${APPENDS} appends under ${lock} while the host sets: none lost`, async (t) => {
    const { refused, changes, lost, stale, records, wanted, bytes, last } = await compete(
      'vmic',
      lock,
    );
    t.diagnostic(`${changes} changes by the host meanwhile`);
    assert.ok(changes > 20, `only ${changes} changes by the host: this proved nothing`);
    assert.deepEqual(refused, []);
    assert.deepEqual(lost, []);
    assert.deepEqual(stale, []);
    assert.equal(records.length, APPENDS + wanted.size);
    assert.deepEqual(bytes, encodeRecords(records));
    assert.equal(last.key, records.at(-1)!.key);
  });
}

test('the same with the C daemon, for comparison', {
  skip: missingReference() ?? false,
}, async (t) => {
  for (const lock of ['lockf', 'flock'] as const) {
    const { changes, lost } = await compete('c', lock);
    t.diagnostic(
      `C daemon, ${lock}: ${lost.length} of ${APPENDS} appends lost during ${changes} ` +
        'changes by the host',
    );
    assert.ok(changes > 0);
  }
});
