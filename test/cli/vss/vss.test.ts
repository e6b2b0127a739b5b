import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { parseDuration } from '../../../cli/vss/options.ts';
import type { Guard, Recovery } from '../../../daemons/vss/freeze/guard-types.ts';
import {
  type CurrentFreeze,
  changeStatus,
  readStatus,
  type VssStatus,
} from '../../../daemons/vss/freeze/status.ts';
import { statusFile } from '../../../runtime/status/status.ts';
import { identityOf, ownIdentity, writeJson } from '../../../runtime/status/status-file.ts';
import { FakeGuard } from '../../daemons/vss/freeze/fake.ts';
import { vmic } from '../run.ts';
import { status as serviceStatus } from '../status/snapshots.ts';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'vmic-vss-command-'));
after(() => fs.rmSync(folder, { recursive: true, force: true }));

const MOUNTINFO = `\
1 0 8:1 / / rw - ext4 /dev/sda1 rw
2 1 8:17 / /data\\033[2J rw - xfs /dev/sdb1 rw
3 1 8:33 / /boot/efi rw - vfat /dev/sdc1 rw
4 1 0:20 / /tmp rw - tmpfs tmpfs rw
`;

let number = 0;
class Scene {
  /** Of the whole system. */
  readonly root = path.join(folder, `${number + 1}-root`);
  readonly base = path.join(folder, String(++number));
  readonly hooks = path.join(this.base, 'vss.d');
  readonly statusFile = path.join(this.base, 'run/vss.json');
  readonly configFile = path.join(this.base, 'config.toml');
  readonly events: string[] = [];
  guard = new FakeGuard((event) => this.events.push(event));
  startError: Error | undefined;
  recovery: Recovery = { complete: true, thawed: [] };
  answer: boolean | undefined;

  constructor(config = '') {
    fs.mkdirSync(this.hooks, { recursive: true });
    fs.mkdirSync(path.join(this.base, 'proc/self'), { recursive: true });
    fs.writeFileSync(path.join(this.base, 'proc/self/mountinfo'), MOUNTINFO);
    fs.writeFileSync(
      this.configFile,
      `[vss]\nstatus_file = "${this.statusFile}"\nhooks_directories = ` +
        `["${this.hooks}"]\ntransport = "uio:"\n${config}`,
    );
  }

  hook(name: string, script: string): void {
    fs.writeFileSync(path.join(this.hooks, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  }

  status(change: Partial<VssStatus>): void {
    changeStatus(this.statusFile, (status) => ({ ...status, ...change }));
  }

  run(...args: string[]) {
    const { answer } = this;
    return vmic(['vss', ...args], {
      root: this.root,
      configFile: this.configFile,
      places: { proc: path.join(this.base, 'proc'), sysfs: '/nonexistent' },
      ...(answer === undefined
        ? {}
        : {
            ask: async (question: string) => {
              this.events.push(question.trim());
              return answer;
            },
          }),
      loadGuards: async () => ({
        start: async (): Promise<Guard> => {
          if (this.startError) throw this.startError;
          return this.guard;
        },
        thawRecorded: async () => {
          this.events.push('thaws what is recorded');
          return this.recovery;
        },
      }),
    });
  }
}

describe('vmic vss plan', () => {
  it('shows what would be frozen, what not and why, and the hooks', async () => {
    const scene = new Scene();
    scene.hook('10-db', 'exit 1');
    const run = scene.run('plan');
    assert.equal(await run.status, 0);
    assert.equal(
      run.out,
      [
        'Hooks, in this order before and backwards after:',
        `  ${scene.hooks}/10-db`,
        '',
        'Frozen, all at once:',
        '  /             ext4 on /dev/sda1 (8:1)',
        '  /data\\x1b[2J  xfs on /dev/sdb1 (8:17)',
        '',
        'Left alone:',
        '  /boot/efi     vfat: the kernel has no freeze for this kind of file system',
        '',
        '1 more are in memory or on other file systems (--json lists them).',
        '',
      ].join('\n'),
    );
  });

  it('shows another configuration, and warns of names that match nothing', async () => {
    const run = new Scene().run('plan', '--set', 'vss.exclude=/dtaa,xfs', '--json');
    assert.equal(await run.status, 0);
    const { stages, skipped, unmatched } = JSON.parse(run.out);
    assert.deepEqual([stages.length, stages[0].length, unmatched], [1, 1, ['/dtaa']]);
    assert.deepEqual(
      skipped.map(({ reason }: { reason: string }) => reason),
      ['excluded', 'no-freeze', 'no-device'],
    );
    const text = new Scene().run('plan', '--set', 'vss.exclude=/dtaa');
    await text.status;
    assert.match(text.err, /the configuration names \/dtaa, which matches nothing/);
  });

  it('refuses a configuration that is wrong', async () => {
    for (const args of [
      ['--set', 'vss.limit_secs=1'],
      ['--set', 'vss.nothing=1'],
      ['--config', '/nonexistent/x.toml'],
    ]) {
      const run = new Scene().run('plan', ...args);
      assert.equal(await run.status, 2, args.join(' '));
    }
  });
});

describe('vmic vss freeze', () => {
  it('freezes for that long, thaws, and tells', async () => {
    const scene = new Scene();
    scene.hook('10-db', 'echo "said $1"');
    const run = scene.run('freeze', '--for', '50ms', '--yes');
    assert.equal(await run.status, 0, run.err);
    assert.deepEqual(scene.events.slice(0, 2), [
      'guard freezes /+/data\x1b[2J for 6 s',
      'guard thaws',
    ]);
    assert.match(
      run.out,
      /^Freezing for 0\.05 s; Ctrl-C thaws\.\n\S+ {2}for a command: frozen and thawed\n/,
    );
    assert.match(
      run.out,
      /\n {2}\/ \(ext4\): frozen for 40 ms\n.*\n {2}left alone: \/boot\/efi \(no-freeze\)\n/,
    );
    assert.match(run.out, /hook .*10-db freeze: .*\n.*10-db thaw: /);
    assert.equal(readStatus(scene.statusFile)?.freezes[0]?.by, 'command');
  });

  it('asks first, and takes no for an answer', async () => {
    const scene = new Scene();
    scene.answer = false;
    const run = scene.run('freeze', '--for', '1s');
    assert.equal(await run.status, 1);
    assert.match(scene.events.join(), /waits for 1 s.*Freeze\?$/);
    assert.match(run.out, /^Frozen, all at once:/);
    scene.answer = true;
    scene.events.length = 0;
    const yes = scene.run('freeze', '--for', '10ms');
    assert.equal(await yes.status, 0, yes.err);
    assert.ok(scene.events.includes('guard thaws'));
  });

  it('does nothing where there is nobody to ask', async () => {
    const scene = new Scene();
    const run = scene.run('freeze', '--for', '1s');
    assert.equal(await run.status, 2);
    assert.match(run.err, /give --yes/);
    assert.deepEqual(scene.events, []);
  });

  it('takes no time that is missing, absurd, or given twice', async () => {
    for (const args of [
      [],
      ['--for', '0s'],
      ['--for', '11m'],
      ['--for', '-1s'],
      ['--for', 'x'],
      ['--for', '1s', '--for', '2s'],
    ]) {
      const scene = new Scene();
      assert.equal(await scene.run('freeze', '--yes', ...args).status, 2, args.join(' '));
      assert.deepEqual(scene.events, []);
    }
    assert.deepEqual(
      ['10', '10s', '500ms', '1.5s', '10m'].map(parseDuration),
      [10_000, 10_000, 500, 1500, 600_000],
    );
  });

  it('thaws at once when interrupted', async () => {
    const scene = new Scene();
    const run = scene.run('freeze', '--for', '10m', '--yes', '--json');
    while (!scene.events.some((event) => event.startsWith('guard freezes')))
      await new Promise((resolve) => setTimeout(resolve, 5));
    process.emit('SIGINT');
    assert.equal(await run.status, 1);
    const record = JSON.parse(run.out);
    assert.deepEqual([record.result, record.problem], ['early', 'the command was told to stop']);
    assert.equal(process.listenerCount('SIGINT'), 0);
  });

  it('tells when it was thawed before its time', async () => {
    const scene = new Scene();
    const run = scene.run('freeze', '--for', '10m', '--yes');
    while (!scene.events.some((event) => event.startsWith('guard freezes')))
      await new Promise((resolve) => setTimeout(resolve, 5));
    scene.guard.endsBy('signal');
    assert.equal(await run.status, 1);
    assert.match(run.out, /THAWED TOO EARLY\n {2}problem: .*the guard was told to stop/);
  });

  it('does not disturb a backup of the host', async () => {
    const scene = new Scene();
    scene.startError = Object.assign(new Error('x'), { code: 'EBUSY' });
    const run = scene.run('freeze', '--for', '1s', '--yes');
    assert.equal(await run.status, 5);
    assert.match(run.err, /^vmic: another freeze is under way \(vmic vss status\)\n/m);
  });

  it('fails with words, and what a hook said, when it can not freeze', async () => {
    const scene = new Scene();
    scene.hook('10-db', '[ $1 = thaw ] || { echo no database >&2; exit 3; }');
    const run = scene.run('freeze', '--for', '1s', '--yes');
    assert.equal(await run.status, 6);
    assert.match(run.out, /FAILED, nothing was frozen/);
    assert.match(run.err, /A freeze hook failed: .*10-db: exit status 3: no database/);
    assert.match(run.err, /vmic: the hook .*10-db refused: exit status 3\n$/);
  });
});

const dead = { pid: 2 ** 22 - 1, startTicks: 'never' };
const current = (more: Partial<CurrentFreeze>): CurrentFreeze => ({
  by: 'host',
  process: ownIdentity(),
  at: '2026-11-23T10:00:00.000Z',
  mountPoints: ['/', '/data'],
  hooks: [],
  ...more,
});

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

describe('vmic vss status', () => {
  it("knows that a host's request starts the service", async () => {
    const scene = new Scene('idle_exit_ms = 500\n');
    const told = serviceStatus('vss', { state: 'left', onDemand: true });
    writeJson(statusFile(path.join(scene.root, 'run/vmic'), 'vss'), told);
    const run = scene.run('status');
    assert.equal(await run.status, 0, run.err);
    assert.match(run.out, /^Service {6}has no process: a host's request starts it$/m);
    const json = scene.run('status', '--json');
    await json.status;
    const { running, asleep } = JSON.parse(json.out);
    assert.deepEqual({ running, asleep }, { running: false, asleep: true });
  });

  it('says that nothing runs and nothing was', async () => {
    const run = new Scene().run('status');
    assert.equal(await run.status, 1);
    assert.equal(
      run.out,
      'Service      does not run\nNow          nothing is frozen by it\nLast         no ' +
        'freeze since the system was started\n',
    );
  });

  it('says it all for people', async () => {
    const scene = new Scene();
    scene.status({
      daemon: ownIdentity(),
      current: current({}),
      freezes: [
        {
          by: 'host',
          at: '2026-11-23T09:00:00.000Z',
          result: 'early',
          problem: 'the limit had passed',
          preparedMs: 1234.5,
          freezingMs: 3.25,
          volumes: [
            {
              mountPoint: '/',
              deviceNumber: '8:1',
              fileSystem: 'ext4',
              source: '/dev/a',
              outcome: 'frozen',
              frozenForMs: 60000.4,
            },
            {
              mountPoint: '/x',
              deviceNumber: '8:2',
              fileSystem: 'xfs',
              source: '/dev/b',
              outcome: 'foreign',
            },
            {
              mountPoint: '/y\x1b',
              deviceNumber: '8:3',
              fileSystem: 'jfs',
              source: '/dev/c',
              outcome: 'left',
              problem: 'EIO',
            },
          ],
          skipped: [{ mountPoint: '/boot/efi', source: '/dev/d', reason: 'no-freeze' }],
          hooks: [{ file: '/h/a', argument: 'freeze', ms: 1200, problem: 'exit status 1' }],
        },
      ],
    });
    const run = scene.run('status');
    assert.equal(await run.status, 0);
    assert.equal(
      run.out,
      [
        `Service      runs, process ${process.pid}`,
        'Now          a freeze for the host since 2026-11-23T10:00:00.000Z: /, /data',
        '',
        '2026-11-23T09:00:00.000Z  for the host: THAWED TOO EARLY',
        '  problem: the limit had passed',
        '  1235 ms to write out, 3.3 ms to freeze',
        '  / (ext4): frozen for 60000 ms',
        '  /x (xfs): frozen by somebody else, as before',
        '  /y\\x1b (jfs): not frozen: EIO',
        '  left alone: /boot/efi (no-freeze)',
        '  hook /h/a freeze: 1200 ms, exit status 1',
        '',
      ].join('\n'),
    );
    const json = scene.run('status', '--json');
    await json.status;
    const parsed = JSON.parse(json.out);
    assert.deepEqual([parsed.running, parsed.underWay, parsed.freezes.length], [true, true, 1]);
  });

  it('tells of a freeze whose process ended', async () => {
    const scene = new Scene();
    scene.status({ current: current({ process: dead, by: 'command' }) });
    const run = scene.run('status');
    assert.equal(await run.status, 1);
    assert.match(
      run.out,
      /^INTERRUPTED {2}a freeze for a command since .*"vmic vss thaw" clears up$/m,
    );
  });

  it('refuses a file that is no status', async () => {
    const scene = new Scene();
    fs.mkdirSync(path.dirname(scene.statusFile), { recursive: true });
    fs.writeFileSync(scene.statusFile, '{}');
    const run = scene.run('status');
    assert.equal(await run.status, 6);
    assert.match(run.err, /is no status of vmic-vss/);
  });
});
