import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import { guards } from '../../../../daemons/vss/freeze/guard.ts';
import { missingScratch } from '../../../../simulator/stages/scratch.ts';
import { OTHER_PROGRAM, PROGRAM, stageGuards, target } from './guard-stage.ts';

describe('guard', { skip: missingScratch() ?? false }, () => {
  const stage = stageGuards();
  const { all, a, b, c, mounted, freeze, understudyOf, bareGuard, until } = stage;

  it('freezes 20 file systems and thaws them in reverse order', async () => {
    const { guard, report } = await freeze([all()]);
    assert.equal(report.ok, true, report.problem);
    assert.deepEqual(
      report.targets,
      all().map((one) => ({ target: one, outcome: 'frozen' })),
    );
    for (const { mountPoint } of all()) assert.ok(stage.scratch.isFrozen(mountPoint), mountPoint);
    if (OTHER_PROGRAM === undefined) {
      const status = fs.readFileSync(`/proc/${guard.pid}/status`, 'utf8');
      assert.match(status, /^VmLck:\s+[1-9]/m, 'it is not locked in memory');
    }

    const thaw = await guard.thaw();
    assert.deepEqual(
      thaw.targets.map((one) => [one.target.mountPoint, one.outcome]),
      all()
        .reverse()
        .map(({ mountPoint }) => [mountPoint, 'thawed']),
    );
    assert.ok(thaw.targets.every(({ frozenForMs }) => frozenForMs! > 0));
    assert.deepEqual([thaw.reason, thaw.complete, thaw.problem], ['told', true, undefined]);
    assert.deepEqual(await guard.ended, { thaw });
    assert.deepEqual(stage.scratch.thawAll(), []);
    assert.ok(!fs.existsSync(stage.options.recordPath));
  });

  it(
    'writes nothing to a file system while it is frozen: what was dirty before is on the ' +
      'device',
    async () => {
      const { mountPoint } = a();
      stage.scratch.run(
        'dd',
        'if=/dev/urandom',
        `of=${mountPoint}/dirty`,
        'bs=1M',
        'count=8',
        'status=none',
      );
      const image = path.join(stage.scratch.folder, '0.img');
      const { guard, report } = await freeze([[a()]]);
      assert.ok(report.ok, report.problem);
      const once = stage.scratch.run('sha256sum', image);
      // The copy that a host takes is complete: its check finds nothing to mend, and its file is
      // whole
      const copy = path.join(stage.scratch.shared, 'copy.img');
      stage.scratch.run('cp', image, copy);
      assert.equal(stage.scratch.run('sha256sum', image), once);
      await guard.thaw();
      stage.scratch.run('fsck.ext4', '-fn', copy);
      const folder = path.join(stage.scratch.shared, 'copy');
      stage.scratch.run('mkdir', folder);
      stage.scratch.run('mount', '-o', 'loop', copy, folder);
      assert.equal(stage.scratch.run('cmp', `${folder}/dirty`, `${mountPoint}/dirty`), '');
      stage.scratch.run('umount', folder);
    },
  );

  it("leaves an administrator's freeze his", async () => {
    const [his, ours] = [a(), b()];
    stage.scratch.run('fsfreeze', '-f', his.mountPoint);
    const { guard, report } = await freeze([[his, ours]]);
    assert.equal(report.ok, true);
    assert.deepEqual(
      report.targets.map(({ outcome, code }) => [outcome, code]),
      [
        ['already-frozen', undefined],
        ['frozen', undefined],
      ],
    );
    const thaw = await guard.thaw();
    assert.deepEqual(
      thaw.targets.map((one) => one.target),
      [ours],
    );
    assert.deepEqual(stage.scratch.thawAll(), [his.mountPoint]);
  });

  it('tells when somebody else thawed what it froze', async () => {
    const { guard } = await freeze([[a(), b()]]);
    stage.scratch.run('fsfreeze', '-u', a().mountPoint);
    const thaw = await guard.thaw();
    assert.deepEqual(
      thaw.targets.map(({ outcome }) => outcome),
      ['thawed', 'already-thawed'],
    );
    assert.equal(thaw.complete, true);
  });

  it('thaws everything at once when one fails, and says which and why', async () => {
    const impossible = target({ mountPoint: '/proc', deviceNumber: mounted('/proc').deviceNumber });
    const { guard, report } = await freeze([[a(), b()], [impossible], [c()]]);
    assert.equal(report.ok, false);
    assert.equal(report.problem, '/proc: its kind of file system can not be frozen (EOPNOTSUPP)');
    assert.deepEqual(
      report.targets.map(({ outcome, code }) => [outcome, code]),
      [
        ['frozen', undefined],
        ['frozen', undefined],
        ['failed', 'EOPNOTSUPP'],
        ['failed', 'ECANCELED'],
      ],
    );
    assert.ok(report.targets[0]!.frozenForMs! >= 0);
    assert.deepEqual(stage.scratch.thawAll(), []);
    const { thaw } = await guard.ended;
    assert.deepEqual([thaw?.reason, thaw?.complete, thaw?.targets.length], ['failed', true, 2]);
  });

  it(
    'goes on without one that is optional, and without one that is not mounted any ' + 'more',
    async () => {
      const impossible = target(
        { mountPoint: '/proc', deviceNumber: mounted('/proc').deviceNumber },
        true,
      );
      const gone = target({ mountPoint: '/gone', deviceNumber: '7:250' });
      const { guard, report } = await freeze([[impossible, gone, a()]]);
      assert.equal(report.ok, true);
      assert.deepEqual(
        report.targets.map(({ outcome, code }) => [outcome, code]),
        [
          ['failed', 'EOPNOTSUPP'],
          ['failed', 'ENOENT'],
          ['frozen', undefined],
        ],
      );
      assert.equal((await guard.thaw()).targets.length, 1);
    },
  );

  it('has nothing to do without targets', async () => {
    const { guard, report } = await freeze([[]]);
    assert.deepEqual(report, { ok: true, targets: [], preparedMs: 0, frozenMs: 0 });
    assert.deepEqual(await guard.thaw(), { reason: 'told', complete: true, targets: [] });
    await guard.ended;
  });

  describe('ends by itself', () => {
    it('when the limit has passed', async () => {
      const { guard, report } = await freeze([[a(), b()]], 0.5);
      assert.equal(report.ok, true);
      const { thaw } = await guard.ended;
      assert.deepEqual([thaw?.reason, thaw?.complete, thaw?.targets.length], ['limit', true, 2]);
      assert.deepEqual(stage.scratch.thawAll(), []);
      assert.deepEqual(await guard.thaw(), thaw);
    });

    it('when nobody is left to talk to', async () => {
      const { guard } = await freeze([[a(), b()]]);
      guard.close();
      assert.equal((await guard.ended).thaw?.reason, 'gone');
      assert.deepEqual(stage.scratch.thawAll(), []);
    });

    for (const signal of [
      'SIGTERM',
      'SIGINT',
      'SIGHUP',
      'SIGQUIT',
      'SIGTSTP',
      'SIGUSR1',
    ] as const) {
      it(`at ${signal}`, async () => {
        const { guard } = await freeze([[a(), b()]]);
        process.kill(guard.pid, signal);
        assert.equal((await guard.ended).thaw?.reason, 'signal');
        assert.deepEqual(stage.scratch.thawAll(), []);
      });
    }
  });

  describe('killed', () => {
    it('is replaced by its understudy', async () => {
      stage.scratch.run('fsfreeze', '-f', c().mountPoint);
      const { guard } = await freeze([[a(), c()], [b()]]);
      process.kill(guard.pid, 'SIGKILL');
      const { thaw, problem } = await guard.ended;
      assert.equal(problem, 'it was ended by SIGKILL');
      assert.deepEqual([thaw?.reason, thaw?.complete, thaw?.targets.length], ['died', true, 2]);
      assert.deepEqual(stage.scratch.thawAll(), [c().mountPoint]);
      assert.ok(!fs.existsSync(stage.options.recordPath));
      assert.deepEqual(await guard.thaw(), thaw);
    });

    it('with its understudy, leaves a record from which the daemon thaws', async () => {
      const { guard } = await freeze([[a()], [b()]]);
      process.kill(understudyOf(guard), 'SIGKILL');
      process.kill(guard.pid, 'SIGKILL');
      const { thaw } = await guard.ended;
      assert.deepEqual([thaw?.reason, thaw?.complete], ['died', true]);
      assert.deepEqual(stage.scratch.thawAll(), []);
    });

    it('thaws by its understudy alone, when the daemon does nothing', async () => {
      const { pid, ended } = await bareGuard([[a()], [b()]]);
      process.kill(pid, 'SIGKILL');
      await ended;
      await until(() => !fs.existsSync(stage.options.recordPath));
      assert.deepEqual(stage.scratch.thawAll(), []);
    });
  });
});

describe('guard program', () => {
  it('needs a record with a full path, and a socket', () => {
    for (const args of [
      [],
      ['--record'],
      ['--record', 'x'],
      ['--record', '/dev/shm/x'],
      ['--thaw-recorded', 'x'],
      ['-x', '/y'],
    ]) {
      const { status, stderr } = spawnSync(PROGRAM, args, { encoding: 'utf8' });
      assert.equal(status, 2, args.join(' '));
      assert.match(stderr, /^usage: /);
    }
    assert.match(spawnSync(PROGRAM, ['--help'], { encoding: 'utf8' }).stdout, /^usage: /);
  });

  it('that is missing is told', async () => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'vmic-guard-'));
    const options = {
      recordPath: path.join(folder, 'record'),
      program: path.join(folder, 'guard'),
    };
    await assert.rejects(guards.start(options), { code: 'ENOENT' });
    assert.deepEqual(await guards.thawRecorded(options), { complete: true, thawed: [] });
    fs.writeFileSync(options.recordPath, '');
    const recovery = await guards.thawRecorded(options);
    assert.deepEqual([recovery.complete, recovery.thawed], [false, []]);
    assert.match(recovery.problem!, /ENOENT/);
    fs.rmSync(folder, { recursive: true });
  });
});
