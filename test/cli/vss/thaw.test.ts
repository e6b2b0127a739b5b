import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { readStatus } from '../../../daemons/vss/freeze/status.ts';
import { identityOf } from '../../../runtime/status/status-file.ts';
import { current, dead, Scene } from './scene.ts';

describe('vmic vss thaw', () => {
  it(
    'thaws what a process that ended left behind, and runs the hooks that wait for ' + 'it',
    async () => {
      const scene = new Scene();
      scene.hook('10-db', `echo "$1" >> ${scene.base}/calls`);
      scene.status({
        current: current({ process: dead, hooks: [path.join(scene.hooks, '10-db')] }),
      });
      scene.recovery = { complete: true, thawed: ['/data'] };
      for (const args of [['--last-resort'], []]) {
        const run = scene.run('thaw', ...args);
        assert.equal(await run.status, 0, run.err);
        assert.equal(run.out, 'Thawed: /data\n');
      }
      assert.equal(fs.readFileSync(`${scene.base}/calls`, 'utf8'), 'thaw\n');
      assert.deepEqual(
        [readStatus(scene.statusFile)?.current, readStatus(scene.statusFile)?.freezes[0]?.result],
        [undefined, 'interrupted'],
      );
    },
  );

  it('says that there was nothing, but not as a last resort', async () => {
    const scene = new Scene();
    const run = scene.run('thaw');
    assert.deepEqual([await run.status, run.out], [0, 'Nothing was frozen by vmic.\n']);
    const last = scene.run('thaw', '--last-resort');
    assert.deepEqual([await last.status, last.out, last.err], [0, '', '']);
  });

  it('fails when something stays frozen', async () => {
    const scene = new Scene();
    scene.recovery = { complete: false, problem: 'no answer from /data', thawed: [] };
    const run = scene.run('thaw', '--last-resort');
    assert.equal(await run.status, 6);
    assert.match(run.err, /no answer from \/data/);
  });

  it('leaves a backup of the host alone, unless forced', async () => {
    const scene = new Scene();
    const guard = spawn('sleep', ['600']);
    const ended = new Promise((resolve) => guard.on('exit', (_code, signal) => resolve(signal)));
    scene.status({ current: current({ guard: identityOf(guard.pid!) }) });
    const run = scene.run('thaw');
    assert.equal(await run.status, 5);
    assert.match(run.err, /a backup of the host is under way/);
    const forced = scene.run('thaw', '--force');
    assert.equal(await forced.status, 0, forced.err);
    assert.equal(await ended, 'SIGTERM');
    assert.equal(forced.out, 'Thawed: /, /data\n');
    assert.deepEqual(scene.events, []);
  });

  it('is no resort while somebody sees to it', async () => {
    const scene = new Scene();
    scene.status({ current: current({ by: 'command' }) });
    assert.equal(await scene.run('thaw', '--last-resort').status, 0);
    assert.deepEqual(scene.events, []);
  });

  it('signals no process that only has the number of a guard', async () => {
    const scene = new Scene();
    scene.status({
      current: current({ by: 'command', guard: { pid: process.pid, startTicks: 'another' } }),
    });
    const run = scene.run('thaw');
    assert.equal(await run.status, 5);
    assert.match(run.err, /nothing is frozen at this moment/);
  });
});
