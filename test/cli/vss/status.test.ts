import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { statusFile } from '../../../runtime/status/status.ts';
import { ownIdentity, writeJson } from '../../../runtime/status/status-file.ts';
import { status as serviceStatus } from '../status/snapshots.ts';
import { current, dead, Scene } from './scene.ts';

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
