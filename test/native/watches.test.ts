import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { appendFileSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { native } from '../../native/index.ts';
import type { NativeError } from '../../native/interface.ts';
import { temporaryFolder, turns } from './pairs.ts';

/** As a literal of JavaScript, for programs of these tests. */
const INDEX_LITERAL = JSON.stringify(join(import.meta.dirname, '../../native/index.ts'));

const IN = {
  MODIFY: 0x2,
  ATTRIB: 0x4,
  CLOSE_WRITE: 0x8,
  MOVED_FROM: 0x40,
  MOVED_TO: 0x80,
  CREATE: 0x100,
  DELETE: 0x200,
  DELETE_SELF: 0x400,
  IGNORED: 0x8000,
};

describe('watchDirectory', () => {
  it('tells changes since the last call, oldest first', (t) => {
    const folder = temporaryFolder(t);
    const watch = native.watchDirectory(folder);
    t.after(() => watch.close());
    assert.equal(watch.drain(), undefined);
    writeFileSync(join(folder, 'a'), 'x');
    appendFileSync(join(folder, 'a'), 'y');
    renameSync(join(folder, 'a'), join(folder, 'ü'));
    rmSync(join(folder, 'ü'));
    assert.deepEqual(watch.drain(), [
      { name: 'a', mask: IN.CREATE },
      { name: 'a', mask: IN.MODIFY },
      { name: 'a', mask: IN.CLOSE_WRITE },
      { name: 'a', mask: IN.MODIFY },
      { name: 'a', mask: IN.CLOSE_WRITE },
      { name: 'a', mask: IN.MOVED_FROM },
      { name: 'ü', mask: IN.MOVED_TO },
      { name: 'ü', mask: IN.DELETE },
    ]);
    assert.equal(watch.drain(), undefined);
  });

  it('tells that the folder itself has gone', (t) => {
    const folder = join(temporaryFolder(t), 'inner');
    mkdirSync(folder);
    const watch = native.watchDirectory(folder);
    t.after(() => watch.close());
    rmSync(folder, { recursive: true });
    const changes = watch.drain() ?? [];
    assert.deepEqual(changes.at(-2), { name: '', mask: IN.DELETE_SELF });
    assert.deepEqual(changes.at(-1), { name: '', mask: IN.IGNORED });
  });

  it(
    'calls back on the event loop as long as there is something to drain, until ' + 'closed',
    async (t) => {
      const folder = temporaryFolder(t);
      let calls = 0;
      const names: string[] = [];
      const watch = native.watchDirectory(folder, () => {
        calls += 1;
        if (calls > 1) names.push(...(watch.drain() ?? []).map((change) => change.name));
      });
      await turns();
      assert.equal(calls, 0);
      mkdirSync(join(folder, 'one'));
      await turns();
      assert.equal(calls, 2);
      assert.deepEqual(names, ['one']);
      mkdirSync(join(folder, 'two'));
      watch.close();
      watch.close();
      await turns();
      assert.equal(calls, 2);
      assert.throws(
        () => watch.drain(),
        (error: NativeError) => error.code === 'EBADF',
      );
    },
  );

  it('refuses what is no folder', (t) => {
    const folder = temporaryFolder(t);
    writeFileSync(join(folder, 'file'), '');
    const code = (expected: string) => (error: NativeError) =>
      error.code === expected && error.syscall === 'inotify_add_watch';
    assert.throws(() => native.watchDirectory(join(folder, 'absent')), code('ENOENT'));
    assert.throws(() => native.watchDirectory(join(folder, 'file')), code('ENOTDIR'));
  });
});

describe('watchAddresses', () => {
  it('can be closed twice, and asked no more then', () => {
    const watch = native.watchAddresses();
    watch.close();
    watch.close();
    assert.throws(
      () => watch.changed(),
      (error: NativeError) => error.code === 'EBADF',
    );
  });

  const network = ['--user', '--map-root-user', '--net'];
  const permitted = (flags: string[]) =>
    spawnSync('unshare', [...flags, 'ip', 'link'], { encoding: 'utf8' });
  const asRoot = permitted(['--net']);
  const asUser = permitted(network);
  const flags = asRoot.status === 0 ? ['--net'] : network;
  const skip =
    asRoot.status === 0 || asUser.status === 0
      ? false
      : `no network namespace of our own: ${asUser.error?.message ?? asUser.stderr.trim()}`;

  it('notices links and addresses coming and going', { skip }, () => {
    const program = `
      import { spawnSync } from 'node:child_process';
      import { existsSync } from 'node:fs';
      import { native } from ${INDEX_LITERAL};
      const ip = (...parameters) => {
        const ran = spawnSync('ip', parameters, { encoding: 'utf8' });
        if (ran.status !== 0) throw new Error(ran.stderr);
      };
      const watch = native.watchAddresses();
      const seen = [watch.changed()];
      const changes = [['link', 'set', 'lo', 'up'], ['addr', 'add', '127.0.0.9/32', 'dev', 'lo'],
        ['addr', 'del', '127.0.0.9/32', 'dev', 'lo']];
      if (existsSync('/proc/net/if_inet6')) {
        changes.push(['-6', 'addr', 'add', '2001:db8::1/128', 'dev', 'lo']);
      }
      for (const change of changes) {
        ip(...change);
        seen.push(watch.changed(), watch.changed());
      }
      console.log(JSON.stringify(seen));
    `;
    const node = [process.execPath, '--import', 'tsx', '--input-type=module', '--eval', program];
    const ran = spawnSync('unshare', [...flags, ...node], { encoding: 'utf8' });
    assert.equal(ran.status, 0, ran.stderr);
    const [before, ...seen] = JSON.parse(ran.stdout) as boolean[];
    assert.equal(before, false);
    assert.ok(seen.length >= 6);
    // Twice asked after each change: yes, then no.
    assert.deepEqual(
      seen,
      seen.map((_, at) => at % 2 === 0),
    );
  });
});
