import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { fcopyStatus } from '../../../cli/fcopy/status.ts';
import type { FcopyStatus } from '../../../daemons/fcopy/status.ts';
import { statusFile } from '../../../runtime/status/status.ts';
import { ownIdentity, uptimeSecs, writeJson } from '../../../runtime/status/status-file.ts';
import { wholeStatus } from '../../runtime/status/whole.ts';
import { vmic } from '../run.ts';
import { status } from '../status/snapshots.ts';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'vmic-status-'));
after(() => fs.rmSync(folder, { recursive: true, force: true }));
const file = path.join(folder, 'fcopy.json');

function show(status: Partial<FcopyStatus>, json = false): Promise<{ text: string; exit: number }> {
  const told: FcopyStatus = {
    service: 'fcopy',
    process: ownIdentity(),
    uptimeSecs: uptimeSecs(),
    last: [],
    counters: { started: 5, copied: 2, bytes: 1536, refused: 1, failed: 2 },
    ...status,
  };
  writeJson(file, wholeStatus(told));
  return run(file, json);
}

async function run(from: string, json: boolean): Promise<{ text: string; exit: number }> {
  const out: string[] = [];
  const exit = await fcopyStatus({ out: (text) => void out.push(text), root: folder }, from, json);
  return { text: out.join(''), exit };
}

const ago = (secs: number) => ({ endedUptimeSecs: uptimeSecs() - secs, seconds: 2 });

describe('vmic fcopy status', () => {
  it('says it all for people, and lets no host move the cursor', async () => {
    const { text, exit } = await show({
      peer: '1.1',
      copy: {
        target: '/tmp/\u001b[2Jfile',
        sizeBytes: 64 << 20,
        receivedBytes: (16 << 20) + 1,
        startedUptimeSecs: uptimeSecs() - 300,
      },
      last: [
        {
          target: '/a',
          sizeBytes: 3 * 2 ** 30,
          receivedBytes: 3 * 2 ** 30,
          result: 'copied',
          ...ago(60),
        },
        {
          target: '/b',
          sizeBytes: 9,
          receivedBytes: 0,
          result: 'diskFull',
          reason: 'there are 5 bytes free',
          ...ago(70),
        },
        { target: '/c', sizeBytes: 9, receivedBytes: 0, result: 'cancelled', ...ago(80) },
      ],
    });
    assert.equal(exit, 0);
    assert.equal(
      text.replace(/\(25 %\) in 30\d\.\d s/, '(25 %) in about 300 s'),
      [
        `Process  ${process.pid}, messages 1.1`,
        'Now      /tmp/\\x1b[2Jfile: 16.0 MiB of 64.0 MiB (25 %) in about 300 s',
        'So far   5 begun: 2 copied (1.5 KiB), 1 refused, 2 not finished',
        'Last     /a: 3.0 GiB in 2.0 s (60 s ago)',
        '         /b: no space left: there are 5 bytes free (70 s ago)',
        '         /c: cancelled by the host (80 s ago)',
        '',
      ].join('\n'),
    );
  });

  it('says when nothing happens, or has', async () => {
    const { text } = await show({ counters: {} });
    assert.match(text, /^Process {2}\d+, no host has called yet$/m);
    assert.match(text, /^Now {6}nothing is being copied$/m);
    assert.match(text, /^So far {3}0 begun: 0 copied \(0 bytes\), 0 refused, 0 not finished$/m);
  });

  it('gives it all as JSON', async () => {
    const { text, exit } = await show({ peer: 'hv_utils 1' }, true);
    const parsed = JSON.parse(text);
    assert.deepEqual(
      [exit, parsed.running, parsed.peer, parsed.counters.copied],
      [0, true, 'hv_utils 1', 2],
    );
    assert.equal(text.indexOf('\n'), text.length - 1, 'one line');
  });

  it('knows when no daemon runs, and still tells what the last one did', async () => {
    const none = await run(path.join(folder, 'none'), false);
    assert.deepEqual(none, {
      exit: 1,
      text: 'vmic-fcopy does not run: hosts can copy no files into this guest.\n',
    });
    assert.equal(JSON.parse((await run(path.join(folder, 'none'), true)).text).running, false);
    const ended = await show({
      process: { pid: process.pid, startTicks: '1' },
      last: [{ target: '/a', sizeBytes: 1, receivedBytes: 1, result: 'copied', ...ago(5) }],
    });
    assert.equal(ended.exit, 1);
    assert.match(
      ended.text,
      /^vmic-fcopy does not run.*\nLast {5}\/a: 1 bytes in 2\.0 s \(5 s ago\)\n$/,
    );
  });

  it('knows that a host which copies a file starts it', async () => {
    const [root, none] = [path.join(folder, 'asleep'), path.join(folder, 'none')];
    const told = {
      ...status('fcopy', { state: 'left', onDemand: true }),
      process: { pid: process.pid, startTicks: '1' },
    };
    writeJson(statusFile(path.join(root, 'run/vmic'), 'fcopy'), told);
    const asked = async (states?: string): Promise<number> =>
      fcopyStatus({ out: () => {}, root, run: async () => states }, none, false);
    // By its last word; or else by what systemd says of its sockets, of which an instance may be
    // the one
    assert.equal(await asked(), 0);
    assert.equal(await asked('inactive\n\nactive\n'), 0);
    assert.equal(await asked('inactive\n\nfailed\n'), 1);
    const ran = vmic(['fcopy', 'status', '--status-file', none], { root });
    assert.equal(await ran.status, 0);
    assert.equal(ran.out, 'Process  none: a host that copies a file starts it\n');
    writeJson(statusFile(path.join(root, 'run/vmic'), 'fcopy'), { ...told, state: 'serving' });
    assert.equal(await asked('active\n'), 1);
  });

  it('refuses a file that is no status', async () => {
    for (const text of ['{}', 'null', '', '{"service":"timesync"}']) {
      fs.writeFileSync(file, text);
      await assert.rejects(fcopyStatus({ out: () => {} }, file, false), {
        name: 'CommandError',
        exit: 'system',
        message: `${file} is no status of vmic-fcopy`,
      });
    }
  });

  it('is a command', async () => {
    await show({ peer: '1.1' });
    const ran = vmic(['fcopy', 'status', '--json', '--status-file', file], {});
    assert.equal(await ran.status, 0);
    assert.equal(JSON.parse(ran.out).peer, '1.1');
    const missing = vmic(['fcopy'], {});
    assert.equal(await missing.status, 2);
    assert.match(missing.err, /Say what to do: status/);
  });
});
