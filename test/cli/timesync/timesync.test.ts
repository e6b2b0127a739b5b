import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { timesyncStatus } from '../../../cli/timesync/status.ts';
import { ownIdentity, type TimesyncStatus, uptimeSecs } from '../../../daemons/timesync/status.ts';
import { writeJson } from '../../../runtime/status/status-file.ts';
import { wholeStatus } from '../../runtime/status/whole.ts';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'vmic-status-'));
after(() => fs.rmSync(folder, { recursive: true, force: true }));
const file = path.join(folder, 'timesync.json');

function show(status: Partial<TimesyncStatus>, json = false): { text: string; exit: number } {
  const told: TimesyncStatus = {
    service: 'timesync',
    process: ownIdentity(),
    uptimeSecs: uptimeSecs(),
    clock: 'system',
    mode: 'discipline',
    reason: 'no other program disciplines the clock',
    configured: false,
    counters: {
      messages: 7,
      syncs: 1,
      samples: 5,
      ignored: 1,
      stale: 2,
      absurd: 3,
      backwards: 4,
      steps: 1,
      slews: 5,
      fed: 0,
    },
    ...status,
  };
  writeJson(file, wholeStatus(told));
  return run(file, json);
}

function run(from: string, json: boolean): { text: string; exit: number } {
  const out: string[] = [];
  const exit = timesyncStatus({ out: (text) => void out.push(text) }, from, json);
  return { text: out.join(''), exit };
}

describe('vmic timesync status', () => {
  it('says it all for people', () => {
    const { text, exit } = show({
      version: '4.0',
      last: {
        uptimeSecs: uptimeSecs() - 3,
        offsetNs: '-123456',
        kind: 'exact',
        frequencyPpm: -12.3456,
      },
      lastStep: { uptimeSecs: uptimeSecs() - 60, because: 'resume', byNs: '5250000000' },
    });
    assert.equal(exit, 0);
    assert.equal(
      text,
      [
        `Process      ${process.pid}, messages 4.0`,
        "Clock        the machine's",
        'Mode         discipline: no other program disciplines the clock',
        'Offset       0.000123 s ahead of the host (3 s ago)',
        "Samples are  exact, by the partition's reference counter",
        'Frequency    the host runs 12.346 ppm slower than the raw clock',
        'Last step    +5.250000 s: this guest was suspended (60 s ago)',
        'Messages     7: 1 to set the clock, 5 samples, 1 without an order',
        'Refused      2 stale, 3 absurd, 4 backwards',
        'Done         1 steps, 5 slews, 0 samples for chronyd',
        '',
      ].join('\n'),
    );
  });

  it('says plainly what needs attention', () => {
    const { text } = show({
      clock: 'simulated',
      mode: 'observe',
      configured: true,
      advice: 'add a line',
      problem: 'EPERM: \x1b[2J',
      last: { uptimeSecs: uptimeSecs(), offsetNs: '1500000000', kind: 'plain' },
      lastStep: { uptimeSecs: uptimeSecs(), because: 'sync', byNs: '1500000000' },
    });
    assert.match(text, /^Process {6}\d+, no host has negotiated yet$/m);
    assert.match(text, /^Clock {8}SIMULATED: the machine's clock is left alone$/m);
    assert.match(text, /^Mode {9}observe \(configured\)$/m);
    assert.match(text, /^Advice {7}add a line$/m);
    assert.match(text, /^Offset {7}1\.500000 s behind the host \(0 s ago, then set\)$/m);
    assert.match(text, /^PROBLEM {6}the clock can't be changed: EPERM: \\x1b\[2J$/m);
  });

  it('gives it all as JSON', () => {
    const { text, exit } = show({ version: '3.0' }, true);
    const parsed = JSON.parse(text);
    assert.equal(exit, 0);
    assert.deepEqual(
      [parsed.running, parsed.mode, parsed.version, parsed.counters.messages],
      [true, 'discipline', '3.0', 7],
    );
    assert.equal(typeof parsed.nowUptimeSecs, 'number');
    assert.equal(text.indexOf('\n'), text.length - 1, 'one line');
  });

  it('knows when no daemon runs, or it was killed', async () => {
    const none = run(path.join(folder, 'none'), false);
    assert.equal(none.exit, 1);
    assert.match(none.text, /^vmic-timesync does not run\. /);
    assert.equal(JSON.parse(run(path.join(folder, 'none'), true).text).running, false);

    const child = spawn('sleep', ['0']);
    await new Promise((resolve) => child.on('close', resolve));
    const killed = show({ process: { pid: child.pid!, startTicks: '1' } });
    assert.equal(killed.exit, 1);
    assert.match(killed.text, /^vmic-timesync does not run\. /);
  });

  it('refuses a file that is no status', () => {
    fs.writeFileSync(file, '{}');
    assert.throws(() => timesyncStatus({ out: () => {} }, file, false), {
      name: 'CommandError',
      exit: 'system',
      message: `${file} is no status of vmic-timesync`,
    });
  });
});
