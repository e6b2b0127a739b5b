import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { guards } from '../../../../daemons/vss/freeze/guard.ts';
import type { FreezeTarget } from '../../../../daemons/vss/freeze/guard-types.ts';
import { unescaped } from '../../../../daemons/vss/freeze/mountinfo.ts';
import { missingScratch } from '../../../../simulator/stages/scratch.ts';
import { stageGuards, target } from './guard-stage.ts';

describe('guard', { skip: missingScratch() ?? false }, () => {
  const stage = stageGuards();
  const { a, b, c, mounted, freeze, understudyOf } = stage;

  describe('a file system on another', () => {
    let inner: FreezeTarget;
    const carrier = a;
    before(() => {
      const folder = path.join(stage.scratch.folder, 'inner');
      const image = path.join(carrier().mountPoint, 'inner.img');
      stage.scratch.run('mkdir', folder);
      stage.scratch.run('truncate', '-s', '8M', image);
      stage.scratch.run('mkfs.ext4', '-q', image);
      stage.scratch.run('mount', '-o', 'loop', image, folder);
      inner = target(mounted(folder));
    });
    after(() => {
      stage.scratch.run('umount', inner.mountPoint);
      stage.scratch.run('rm', path.join(carrier().mountPoint, 'inner.img'));
    });

    it('freezes first and thaws last', async () => {
      stage.scratch.run(
        'dd',
        'if=/dev/zero',
        `of=${inner.mountPoint}/dirty`,
        'bs=64k',
        'count=16',
        'status=none',
      );
      const { guard, report } = await freeze([[inner], [carrier(), b()]]);
      assert.equal(report.ok, true, report.problem);
      const { targets, complete } = await guard.thaw();
      assert.equal(complete, true);
      assert.deepEqual(
        targets.map((one) => one.target),
        [b(), carrier(), inner],
      );
    });

    // The wrong order makes a freeze that hangs: it writes to a device which waits for the other's
    // thaw.
    it('that does not answer lets the others go', async () => {
      const { guard, report } = await freeze([[carrier(), b()], [inner]], 1);
      assert.equal(report.ok, false);
      assert.equal(report.problem, `${inner.mountPoint}: it did not answer in time (ETIMEDOUT)`);
      const { thaw, problem } = await guard.ended;
      assert.deepEqual([thaw?.reason, problem], ['failed', undefined]);
      assert.deepEqual(stage.scratch.thawAll(), []);
      assert.equal(stage.scratch.isFrozen(inner.mountPoint), false);
    });

    it(
      'that does not answer and is optional is left out, and thawed when it freezes after ' + 'all',
      async () => {
        const { guard, report } = await freeze(
          [[carrier(), b()], [{ ...inner, optional: true }], [c()]],
          4,
        );
        assert.equal(report.ok, true, report.problem);
        assert.deepEqual(
          report.targets.map(({ outcome, code }) => code ?? outcome),
          ['frozen', 'frozen', 'ETIMEDOUT', 'frozen'],
        );
        assert.ok(stage.scratch.isFrozen(carrier().mountPoint));
        await guard.thaw();
        assert.equal((await guard.ended).problem, undefined);
        assert.equal(stage.scratch.isFrozen(inner.mountPoint), false);
        assert.ok(!fs.existsSync(stage.options.recordPath));
      },
    );

    it('is thawed also when its guard is killed while it hangs', async () => {
      const { guard } = await freeze([[carrier()], [{ ...inner, optional: true }]], 4);
      process.kill(guard.pid, 'SIGKILL');
      assert.equal((await guard.ended).thaw?.complete, true);
      assert.deepEqual(stage.scratch.thawAll(), []);
      assert.equal(stage.scratch.isFrozen(inner.mountPoint), false);
    });

    it('is thawed by the last resort when all is killed while it hangs', async () => {
      const { guard } = await freeze([[carrier()], [{ ...inner, optional: true }]], 4);
      process.kill(understudyOf(guard), 'SIGKILL');
      process.kill(guard.pid, 'SIGKILL');
      assert.equal((await guards.thawRecorded(stage.options)).complete, true);
      await guard.ended;
      assert.deepEqual(stage.scratch.thawAll(), []);
      assert.equal(stage.scratch.isFrozen(inner.mountPoint), false);
    });

    it('that hangs before the freeze is no reason to wait for ever', async () => {
      stage.scratch.run(
        'dd',
        'if=/dev/zero',
        `of=${inner.mountPoint}/dirty`,
        'bs=64k',
        'count=16',
        'status=none',
      );
      stage.scratch.run('fsfreeze', '-f', carrier().mountPoint);
      const { guard, report } = await freeze([[inner, b()]], 1);
      stage.scratch.run('fsfreeze', '-u', carrier().mountPoint);
      assert.deepEqual([report.ok, report.targets[0]?.code], [false, 'ETIMEDOUT']);
      await guard.ended;
      assert.equal(stage.scratch.isFrozen(inner.mountPoint), false);
    });
  });

  describe('reaches a file system', () => {
    /**
     * Mounts one by a script, which is given its image and an empty folder; freezes and thaws it in
     * all ways.
     */
    async function reach(script: string, kind: 'ext4' | 'btrfs' = 'ext4'): Promise<void> {
      const folder = stage.scratch
        .run('mktemp', '-d', path.join(stage.scratch.folder, 'reach-XXXXXX'))
        .trim();
      const image = `${folder}.img`;
      stage.scratch.run('truncate', '-s', kind === 'btrfs' ? '120M' : '8M', image);
      stage.scratch.run(`mkfs.${kind}`, '-q', image);
      const mounts = () =>
        stage.scratch
          .mountinfo()
          .trimEnd()
          .split('\n')
          .map((line) => line.split(' '))
          .filter((fields) => unescaped(fields[4]!).startsWith(folder));
      try {
        stage.scratch.run('sh', '-ec', script, 'sh', image, folder);
        const made = mounts();
        const [line] = made.filter((fields) => fields.includes(kind));
        const wanted = target({ deviceNumber: line![2]!, mountPoint: unescaped(line![4]!) });
        const { guard, report } = await freeze([[wanted]]);
        assert.equal(report.ok, true, report.problem);
        assert.deepEqual(report.targets, [{ target: wanted, outcome: 'frozen' }]);
        // The last resort has to find its way, too
        process.kill(understudyOf(guard), 'SIGKILL');
        process.kill(guard.pid, 'SIGKILL');
        assert.equal((await guard.ended).thaw?.complete, true);
        const again = await freeze([[wanted]]);
        assert.deepEqual(again.report.targets, [{ target: wanted, outcome: 'frozen' }]);
        assert.equal((await again.guard.thaw()).targets[0]?.outcome, 'thawed');
        assert.deepEqual(mounts(), made);
      } finally {
        await guards.thawRecorded(stage.options);
        for (const fields of mounts().reverse())
          stage.scratch.try('umount', '-l', unescaped(fields[4]!));
        stage.scratch.run('rm', image);
      }
    }

    const cases: Record<string, string> = {
      'with spaces, newlines and backslashes in the name of its mount point':
        'point=$(printf "%s/a b\\n\\\\040\\t#c" "$2"); mkdir "$point"; mount -o loop "$1" "$point"',
      'hidden by other mounts':
        'mkdir "$2/m"; mount -o loop "$1" "$2/m"; mount -t tmpfs none "$2/m"; mount -t tmpfs ' +
        'none "$2/m"',
      'below a folder hidden by another mount':
        'mkdir -p "$2/p/m"; mount -o loop "$1" "$2/p/m"; mount -t tmpfs none "$2/p"',
      'below a hidden folder, with another mount at its path':
        'mkdir -p "$2/p/m"; mount -o loop "$1" "$2/p/m"; mount -t tmpfs none "$2/p"; mkdir ' +
        '"$2/p/m"; mount -t tmpfs none "$2/p/m"',
      'hidden by itself':
        'mkdir "$2/m"; mount -o loop "$1" "$2/m"; mount --bind "$2/m" "$2/m"; mount -t tmpfs ' +
        'none "$2/m"',
      'seen through a read-only bind mount only':
        'mkdir "$2/m" "$2/b"; mount -o loop "$1" "$2/m"; mount --bind "$2/m" "$2/b"; mount ' +
        '-o remount,ro,bind "$2/b"; umount "$2/m"',
      'of which only a file is mounted':
        'mkdir "$2/m"; mount -o loop "$1" "$2/m"; touch "$2/m/x" "$2/x"; mount --bind ' +
        '"$2/m/x" "$2/x"; umount "$2/m"',
      'of which the first mount is a pipe':
        'mkdir "$2/m" "$2/n"; mount -o loop "$1" "$2/m"; mkfifo "$2/m/x"; touch "$2/x"; ' +
        'mount --bind "$2/m/x" "$2/x"; mount --bind "$2/m" "$2/n"; umount "$2/m"',
    };
    for (const [name, script] of Object.entries(cases)) it(name, () => reach(script));

    it('of which only a subvolume is mounted', { skip: missingScratch(['btrfs']) ?? false }, () =>
      reach(
        'mkdir "$2/m" "$2/s"; mount -o loop "$1" "$2/m"; device=$(findmnt -no SOURCE ' +
          '"$2/m"); btrfs -q subvolume create "$2/m/s"; mount -o subvol=s "$device" "$2/s"; ' +
          'umount "$2/m"',
        'btrfs',
      ),
    );

    it('not, and says so, when there is only a pipe', async () => {
      await assert.rejects(
        reach(
          'mkdir "$2/m"; mount -o loop "$1" "$2/m"; mkfifo "$2/m/x"; touch "$2/x"; mount ' +
            '--bind "$2/m/x" "$2/x"; umount "$2/m"',
        ),
        /open failed \(EMEDIUMTYPE\)/,
      );
    });
  });
});
