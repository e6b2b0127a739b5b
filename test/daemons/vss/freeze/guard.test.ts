import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { Duplex } from 'node:stream';
import { after, afterEach, before, describe, it } from 'node:test';
import { guards } from '../../../../daemons/vss/freeze/guard.ts';
import type {
  FreezeTarget,
  Guard,
  GuardOptions,
} from '../../../../daemons/vss/freeze/guard-types.ts';
import { unescaped } from '../../../../daemons/vss/freeze/mountinfo.ts';
import { missingScratch, Scratch } from '../../../../simulator/stages/scratch.ts';

/**
 * Another one is given by guard-sanitizers.slow.test.ts; the sanitizers need too much memory to
 * have it locked.
 */
const OTHER_PROGRAM = process.env['VMIC_TEST_GUARD'];
const PROGRAM = OTHER_PROGRAM ?? path.resolve('build/Release/vmic-vss-guard');
/** Never reached in a test that passes, unless it is about the limit. */
const LIMIT_SECS = 120;

type Frozen = Pick<FreezeTarget, 'mountPoint' | 'deviceNumber'>;
const target = ({ mountPoint, deviceNumber }: Frozen, optional = false): FreezeTarget => ({
  ...{ mountPoint, deviceNumber, fileSystem: 'ext4', source: '/dev/test', optional },
});

describe('guard', { skip: missingScratch() ?? false }, () => {
  let scratch: Scratch;
  let options: GuardOptions;

  before(async () => {
    scratch = await Scratch.create({ kinds: Array(20).fill('ext4') });
    options = {
      recordPath: path.join(scratch.shared, 'vss-frozen'),
      program: scratch.wrap(PROGRAM),
    };
  });
  after(() => scratch?.dispose());
  /** A test that fails leaves nothing to the next. */
  const started: Guard[] = [];
  afterEach(async () => {
    for (const guard of started.splice(0)) {
      guard.close();
      await guard.ended;
    }
    await guards.thawRecorded(options);
    scratch.thawAll();
  });

  const all = () => scratch.fileSystems.map((fileSystem) => target(fileSystem));
  const mountPointsOf = (...indexes: number[]) =>
    indexes.map((index) => scratch.fileSystems[index]!.mountPoint);
  const [a, b, c] = [() => all()[0]!, () => all()[1]!, () => all()[2]!];

  /** As mountinfo has it, last mount first. */
  function mounted(mountPoint: string): Frozen {
    const lines = scratch.mountinfo().trimEnd().split('\n').reverse();
    const fields = lines
      .map((line) => line.split(' '))
      .find((words) => unescaped(words[4]!) === mountPoint);
    return { mountPoint, deviceNumber: fields![2]! };
  }

  async function freeze(stages: readonly (readonly FreezeTarget[])[], limitSecs = LIMIT_SECS) {
    const guard = await guards.start(options);
    started.push(guard);
    return { guard, report: await guard.freeze(stages, limitSecs) };
  }

  /** The guard's second process, which is its only child. */
  function understudyOf(guard: Guard): number {
    const [child, ...others] = fs
      .readFileSync(`/proc/${guard.pid}/task/${guard.pid}/children`, 'utf8')
      .trim()
      .split(' ');
    assert.deepEqual(others, []);
    return Number(child);
  }

  it('freezes 20 file systems and thaws them in reverse order', async () => {
    const { guard, report } = await freeze([all()]);
    assert.equal(report.ok, true, report.problem);
    assert.deepEqual(
      report.targets,
      all().map((one) => ({ target: one, outcome: 'frozen' })),
    );
    for (const { mountPoint } of all()) assert.ok(scratch.isFrozen(mountPoint), mountPoint);
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
    assert.deepEqual(scratch.thawAll(), []);
    assert.ok(!fs.existsSync(options.recordPath));
  });

  it(
    'writes nothing to a file system while it is frozen: what was dirty before is on the ' +
      'device',
    async () => {
      const { mountPoint } = a();
      scratch.run(
        'dd',
        'if=/dev/urandom',
        `of=${mountPoint}/dirty`,
        'bs=1M',
        'count=8',
        'status=none',
      );
      const image = path.join(scratch.folder, '0.img');
      const { guard, report } = await freeze([[a()]]);
      assert.ok(report.ok, report.problem);
      const once = scratch.run('sha256sum', image);
      // The copy that a host takes is complete: its check finds nothing to mend, and its file is
      // whole
      const copy = path.join(scratch.shared, 'copy.img');
      scratch.run('cp', image, copy);
      assert.equal(scratch.run('sha256sum', image), once);
      await guard.thaw();
      scratch.run('fsck.ext4', '-fn', copy);
      const folder = path.join(scratch.shared, 'copy');
      scratch.run('mkdir', folder);
      scratch.run('mount', '-o', 'loop', copy, folder);
      assert.equal(scratch.run('cmp', `${folder}/dirty`, `${mountPoint}/dirty`), '');
      scratch.run('umount', folder);
    },
  );

  it("leaves an administrator's freeze his", async () => {
    const [his, ours] = [a(), b()];
    scratch.run('fsfreeze', '-f', his.mountPoint);
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
    assert.deepEqual(scratch.thawAll(), [his.mountPoint]);
  });

  it('tells when somebody else thawed what it froze', async () => {
    const { guard } = await freeze([[a(), b()]]);
    scratch.run('fsfreeze', '-u', a().mountPoint);
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
    assert.deepEqual(scratch.thawAll(), []);
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
      assert.deepEqual(scratch.thawAll(), []);
      assert.deepEqual(await guard.thaw(), thaw);
    });

    it('when nobody is left to talk to', async () => {
      const { guard } = await freeze([[a(), b()]]);
      guard.close();
      assert.equal((await guard.ended).thaw?.reason, 'gone');
      assert.deepEqual(scratch.thawAll(), []);
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
        assert.deepEqual(scratch.thawAll(), []);
      });
    }
  });

  describe('killed', () => {
    it('is replaced by its understudy', async () => {
      scratch.run('fsfreeze', '-f', c().mountPoint);
      const { guard } = await freeze([[a(), c()], [b()]]);
      process.kill(guard.pid, 'SIGKILL');
      const { thaw, problem } = await guard.ended;
      assert.equal(problem, 'it was ended by SIGKILL');
      assert.deepEqual([thaw?.reason, thaw?.complete, thaw?.targets.length], ['died', true, 2]);
      assert.deepEqual(scratch.thawAll(), [c().mountPoint]);
      assert.ok(!fs.existsSync(options.recordPath));
      assert.deepEqual(await guard.thaw(), thaw);
    });

    it('with its understudy, leaves a record from which the daemon thaws', async () => {
      const { guard } = await freeze([[a()], [b()]]);
      process.kill(understudyOf(guard), 'SIGKILL');
      process.kill(guard.pid, 'SIGKILL');
      const { thaw } = await guard.ended;
      assert.deepEqual([thaw?.reason, thaw?.complete], ['died', true]);
      assert.deepEqual(scratch.thawAll(), []);
    });

    it('thaws by its understudy alone, when the daemon does nothing', async () => {
      const { pid, ended } = await bareGuard([[a()], [b()]]);
      process.kill(pid, 'SIGKILL');
      await ended;
      await until(() => !fs.existsSync(options.recordPath));
      assert.deepEqual(scratch.thawAll(), []);
    });
  });

  /** A guard without a daemon that would see to it when it is killed. */
  async function bareGuard(stages: readonly (readonly FreezeTarget[])[]) {
    const child = spawn(options.program!, ['--record', options.recordPath], {
      stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
    });
    const socket = child.stdio[3] as Duplex;
    let said = '';
    socket.setEncoding('utf8');
    socket.on('data', (chunk) => {
      said += chunk;
    });
    const plan = stages
      .flatMap((stage, index) =>
        stage.map((one) => `${index} r ${one.deviceNumber} ${one.mountPoint}\n`),
      )
      .join('');
    socket.write(`freeze ${LIMIT_SECS * 1000} ${plan.length}\n${plan}`);
    await until(() => /^freeze ok/m.test(said));
    const ended = once(child, 'exit');
    return { pid: child.pid!, ended, socket };
  }

  async function until(done: () => boolean): Promise<void> {
    while (!done()) await new Promise((resolve) => setTimeout(resolve, 5));
  }

  /** What systemd does to a service that doesn't end: all of it is killed. */
  async function leaveFrozen(stages: readonly (readonly FreezeTarget[])[]): Promise<void> {
    const { pid, ended, socket } = await bareGuard(stages);
    process.kill(understudyOf({ pid } as Guard), 'SIGKILL');
    process.kill(pid, 'SIGKILL');
    await ended;
    socket.destroy();
  }

  describe('record', () => {
    it('is readable, and lists what is frozen with its state', async () => {
      scratch.run('fsfreeze', '-f', b().mountPoint);
      await leaveFrozen([[a(), b()], [c()]]);
      const [heading, ...lines] = fs.readFileSync(options.recordPath, 'utf8').trimEnd().split('\n');
      assert.match(heading!, /^vmic-vss 1 \d+ \d+$/);
      assert.deepEqual(lines, [
        `F 0 ${a().deviceNumber} ${a().mountPoint}`,
        `a 0 ${b().deviceNumber} ${b().mountPoint}`,
        `F 1 ${c().deviceNumber} ${c().mountPoint}`,
      ]);
      assert.equal(fs.statSync(options.recordPath).mode & 0o777, 0o600);
      const recovery = await guards.thawRecorded(options);
      assert.deepEqual(recovery, { complete: true, thawed: mountPointsOf(0, 2) });
      assert.deepEqual(scratch.thawAll(), mountPointsOf(1));
      assert.ok(!fs.existsSync(options.recordPath));
    });

    it('is cleared up by the next guard', async () => {
      await leaveFrozen([[a()], [c()]]);
      const { guard, report } = await freeze([[a(), b()]]);
      assert.deepEqual(guard.recovered, mountPointsOf(0, 2));
      assert.equal(report.ok, true);
      assert.deepEqual(
        report.targets.map(({ outcome }) => outcome),
        ['frozen', 'frozen'],
      );
      await guard.thaw();
      await guard.ended;
    });

    it('thaws what was begun and may be frozen, and nothing that was only planned', async () => {
      await leaveFrozen([[a()]]);
      const left = fs.readFileSync(options.recordPath, 'utf8');
      const planned = `p 0 ${b().deviceNumber} ${b().mountPoint}\n`;
      fs.writeFileSync(options.recordPath, left.replace(/^F/m, 'b') + planned);
      scratch.run('fsfreeze', '-f', b().mountPoint);
      assert.deepEqual(await guards.thawRecorded(options), {
        complete: true,
        thawed: mountPointsOf(0),
      });
      assert.deepEqual(scratch.thawAll(), mountPointsOf(1));
    });

    it('that is not there leaves nothing to do', async () => {
      assert.deepEqual(await guards.thawRecorded(options), { complete: true, thawed: [] });
    });

    it('of a guard that lives is left alone', async () => {
      const { guard } = await freeze([[a()]]);
      await assert.rejects(guards.start(options), {
        code: 'EBUSY',
        message: `The guard can't start: another one holds a freeze (process ${guard.pid})`,
      });
      const recovery = await guards.thawRecorded(options);
      assert.equal(recovery.complete, false);
      assert.match(recovery.problem!, new RegExp(`process ${guard.pid}\\) is alive`));
      assert.ok(scratch.isFrozen(a().mountPoint));
      await guard.thaw();
    });

    it('has to be on a tmpfs', async () => {
      const recordPath = path.join(a().mountPoint, 'record');
      await assert.rejects(guards.start({ ...options, recordPath }), {
        code: 'EINVAL',
        message: /its record has to be a file on a tmpfs/,
      });
      scratch.run('rm', recordPath);
    });

    const heading = 'vmic-vss 1 1 1\n';
    const wrong: Record<string, string> = {
      'of another kind': 'something else\n',
      'of another version': 'vmic-vss 2 1 1\nF 0 7:0 /x\n',
      'with a number too large': `${heading}F 0 99999999999:0 /x\n`,
      'without a mount point': `${heading}F 0 7:0\n`,
      'with stages out of order': `${heading}F 1 7:250 /x\nF 0 7:251 /y\n`,
      'with an empty line': `${heading}\n`,
      'with too many lines': heading + 'p 0 7:0 /x\n'.repeat(1025),
      'as large as nothing of ours': heading + 'x'.repeat(20_000_000),
    };
    for (const [name, text] of Object.entries(wrong)) {
      it(`${name} is refused and kept`, async () => {
        fs.writeFileSync(options.recordPath, text);
        try {
          const recovery = await guards.thawRecorded(options);
          assert.equal(recovery.complete, false);
          assert.match(recovery.problem!, /vss-frozen: (record|read): /);
          await assert.rejects(
            guards.start(options),
            /The guard can't start: (record|read): E(PROTO|FBIG)/,
          );
          assert.equal(fs.readFileSync(options.recordPath, 'utf8'), text);
        } finally {
          fs.rmSync(options.recordPath);
        }
      });
    }

    it('cut off in the middle of a line was written before anything was frozen', async () => {
      for (const text of ['', heading, `${heading}p 0 7:0 /x\np 0 7`]) {
        fs.writeFileSync(options.recordPath, text);
        assert.deepEqual(await guards.thawRecorded(options), { complete: true, thawed: [] }, text);
      }
    });

    it('that is a link, a folder or a pipe is refused', async () => {
      const elsewhere = path.join(scratch.shared, 'elsewhere');
      fs.writeFileSync(elsewhere, heading);
      fs.symlinkSync(elsewhere, options.recordPath);
      assert.equal((await guards.thawRecorded(options)).complete, false);
      fs.rmSync(options.recordPath);
      fs.mkdirSync(options.recordPath);
      assert.equal((await guards.thawRecorded(options)).complete, false);
      fs.rmdirSync(options.recordPath);
      scratch.run('mkfifo', options.recordPath);
      assert.equal((await guards.thawRecorded(options)).complete, false);
      fs.rmSync(options.recordPath);
    });
  });

  describe('a file system on another', () => {
    let inner: FreezeTarget;
    const carrier = a;
    before(() => {
      const folder = path.join(scratch.folder, 'inner');
      const image = path.join(carrier().mountPoint, 'inner.img');
      scratch.run('mkdir', folder);
      scratch.run('truncate', '-s', '8M', image);
      scratch.run('mkfs.ext4', '-q', image);
      scratch.run('mount', '-o', 'loop', image, folder);
      inner = target(mounted(folder));
    });
    after(() => {
      scratch.run('umount', inner.mountPoint);
      scratch.run('rm', path.join(carrier().mountPoint, 'inner.img'));
    });

    it('freezes first and thaws last', async () => {
      scratch.run(
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
      assert.deepEqual(scratch.thawAll(), []);
      assert.equal(scratch.isFrozen(inner.mountPoint), false);
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
        assert.ok(scratch.isFrozen(carrier().mountPoint));
        await guard.thaw();
        assert.equal((await guard.ended).problem, undefined);
        assert.equal(scratch.isFrozen(inner.mountPoint), false);
        assert.ok(!fs.existsSync(options.recordPath));
      },
    );

    it('is thawed also when its guard is killed while it hangs', async () => {
      const { guard } = await freeze([[carrier()], [{ ...inner, optional: true }]], 4);
      process.kill(guard.pid, 'SIGKILL');
      assert.equal((await guard.ended).thaw?.complete, true);
      assert.deepEqual(scratch.thawAll(), []);
      assert.equal(scratch.isFrozen(inner.mountPoint), false);
    });

    it('is thawed by the last resort when all is killed while it hangs', async () => {
      const { guard } = await freeze([[carrier()], [{ ...inner, optional: true }]], 4);
      process.kill(understudyOf(guard), 'SIGKILL');
      process.kill(guard.pid, 'SIGKILL');
      assert.equal((await guards.thawRecorded(options)).complete, true);
      await guard.ended;
      assert.deepEqual(scratch.thawAll(), []);
      assert.equal(scratch.isFrozen(inner.mountPoint), false);
    });

    it('that hangs before the freeze is no reason to wait for ever', async () => {
      scratch.run(
        'dd',
        'if=/dev/zero',
        `of=${inner.mountPoint}/dirty`,
        'bs=64k',
        'count=16',
        'status=none',
      );
      scratch.run('fsfreeze', '-f', carrier().mountPoint);
      const { guard, report } = await freeze([[inner, b()]], 1);
      scratch.run('fsfreeze', '-u', carrier().mountPoint);
      assert.deepEqual([report.ok, report.targets[0]?.code], [false, 'ETIMEDOUT']);
      await guard.ended;
      assert.equal(scratch.isFrozen(inner.mountPoint), false);
    });
  });

  describe('reaches a file system', () => {
    /**
     * Mounts one by a script, which is given its image and an empty folder; freezes and thaws it in
     * all ways.
     */
    async function reach(script: string, kind: 'ext4' | 'btrfs' = 'ext4'): Promise<void> {
      const folder = scratch.run('mktemp', '-d', path.join(scratch.folder, 'reach-XXXXXX')).trim();
      const image = `${folder}.img`;
      scratch.run('truncate', '-s', kind === 'btrfs' ? '120M' : '8M', image);
      scratch.run(`mkfs.${kind}`, '-q', image);
      const mounts = () =>
        scratch
          .mountinfo()
          .trimEnd()
          .split('\n')
          .map((line) => line.split(' '))
          .filter((fields) => unescaped(fields[4]!).startsWith(folder));
      try {
        scratch.run('sh', '-ec', script, 'sh', image, folder);
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
        await guards.thawRecorded(options);
        for (const fields of mounts().reverse()) scratch.try('umount', '-l', unescaped(fields[4]!));
        scratch.run('rm', image);
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

  describe('plan', () => {
    const wrong: Record<string, string> = {
      'without a limit': 'freeze 12\n',
      'with a limit of years': 'freeze 99999999999 5\n',
      'without lines': 'freeze 1000 0\n',
      'with a line that has no end': `freeze 1000 9\n0 r 7:0 /`,
      'with an unknown word': 'freeze 1000 11\n0 x 7:0 /a\n',
      'with a number too large': 'freeze 1000 20\n0 r 7:9999999999999\n',
      'with stages out of order': 'freeze 1000 22\n1 r 7:0 /a\n0 r 7:1 /b\n',
      'that names a superblock twice': 'freeze 1000 22\n0 r 7:0 /a\n1 r 7:0 /b\n',
      'with more lines than anybody mounts': `freeze 1000 ${13 * 2000}\n${'0 r 7:0 /abc\n'.repeat(2000)}`,
      'that is none': 'thaw\n',
      'that is something long': 'x'.repeat(100_000),
      'that ends too early': 'freeze 1000 100\n0 r 7:0 /a\n',
    };
    for (const [name, text] of Object.entries(wrong)) {
      it(`${name} is refused, and nothing frozen`, async () => {
        const child: ChildProcess = spawn(options.program!, ['--record', options.recordPath], {
          stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
        });
        const ended = once(child, 'exit');
        const socket = child.stdio[3] as Duplex;
        // A guard that ended does not read the rest
        socket.on('error', () => {});
        // Heard first: what was said to a socket that then breaks may be lost
        let said = String((await once(socket, 'data'))[0]);
        socket.on('data', (chunk) => {
          said += chunk;
        });
        socket.end(text);
        assert.deepEqual(await ended, [1, null]);
        assert.match(said, /^hello 1 \d+\n$/);
        assert.ok(!fs.existsSync(options.recordPath));
      });
    }
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
