import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { takeSnapshot } from '../../../cli/status/snapshot.ts';
import { statusFile } from '../../../runtime/status/status.ts';
import { ownIdentity, writeJson } from '../../../runtime/status/status-file.ts';
import { wholeStatus } from '../../runtime/status/whole.ts';
import { lastCopy, status } from './snapshots.ts';

let root: string;
beforeEach(() => {
  root = fs.mkdtempSync(path.join(os.tmpdir(), 'vmic-snapshot-'));
});
afterEach(() => fs.rmSync(root, { recursive: true }));

const put = (file: string, text: string): void => {
  fs.mkdirSync(path.dirname(path.join(root, file)), { recursive: true });
  fs.writeFileSync(path.join(root, file), text);
};
const take = (outputs: Record<string, string> = {}) =>
  takeSnapshot({
    root,
    poolDirectory: '/var/lib/hyperv',
    run: async (program) => outputs[program],
  });

describe('a snapshot', () => {
  it('of an empty machine is empty', async () => {
    const { takenMs: _, isRoot: __, ...snapshot } = await take();
    assert.deepEqual(snapshot, {
      uptimeSecs: 0,
      kernel: '',
      isHyperV: false,
      hasVmbus: false,
      modules: [],
      channels: {},
      utilsDevices: [],
      daemons: Object.fromEntries(
        ['heartbeat', 'shutdown', 'timesync', 'kvp', 'vss', 'fcopy'].map((name) => [
          name,
          { isRunning: false },
        ]),
      ),
      processes: [],
      pools: { directory: path.join(root, 'var/lib/hyperv'), exists: false, files: [] },
    });
  });

  it('of a guest has its channels, modules and daemons', async () => {
    put('proc/uptime', '123.45 99.00\n');
    put('proc/sys/kernel/osrelease', '6.12.1\n');
    put('sys/class/dmi/id/sys_vendor', 'Microsoft Corporation\n');
    put('sys/class/dmi/id/product_name', 'Virtual Machine\n');
    put('sys/module/hv_utils/refcnt', '0');
    const device = 'sys/bus/vmbus/devices/242ff919-07db-4180-9c2e-b86cb68c8c55';
    put(`${device}/class_id`, '{a9a0f4e7-5a45-4d96-b827-8a841e8c03e6}\n');
    put(`${device}/uio/uio3/name`, '');
    put('sys/bus/vmbus/drivers/uio_hv_generic/bind', '');
    fs.symlinkSync('../../drivers/uio_hv_generic', path.join(root, device, 'driver'));
    put('dev/vmbus/hv_vss', '');
    const told = { ...status('kvp'), process: ownIdentity() };
    writeJson(statusFile(path.join(root, 'run/vmic'), 'kvp'), told);
    put('run/vmic/status/vss.json', '{"service":"kvp"}');
    const snapshot = await take();
    assert.deepEqual(
      [snapshot.uptimeSecs, snapshot.kernel, snapshot.isHyperV, snapshot.hasVmbus],
      [123.45, '6.12.1', true, true],
    );
    assert.deepEqual(snapshot.modules, ['hv_vmbus', 'hv_utils', 'uio_hv_generic']);
    assert.deepEqual(snapshot.channels, {
      kvp: {
        name: '242ff919-07db-4180-9c2e-b86cb68c8c55',
        driver: 'uio_hv_generic',
        device: '/dev/uio3',
      },
    });
    assert.deepEqual(snapshot.utilsDevices, ['hv_vss']);
    assert.deepEqual(snapshot.daemons.kvp, { isRunning: true, status: told });
    assert.match(snapshot.daemons.vss!.problem!, /is no status of vmic-vss/);
  });

  it('has what backups and file copies tell of themselves', async () => {
    const at = '2026-06-01T11:00:00.000Z';
    const ended = { pid: process.pid, startTicks: '1' };
    const record = { by: 'host', at, volumes: [], skipped: [], hooks: [] };
    const current = { by: 'host', process: ended, at, mountPoints: ['/'], hooks: ['/h'] };
    const freezes = [
      { ...record, result: 'early', problem: 'the limit' },
      { ...record, result: 'thawed' },
    ];
    put('run/vmic/vss.json', JSON.stringify({ service: 'vss', current, freezes }));
    const copy = { target: '/x', sizeBytes: 2, receivedBytes: 1, startedUptimeSecs: 1 };
    const fcopy = {
      service: 'fcopy',
      process: ended,
      uptimeSecs: 5,
      copy,
      last: [lastCopy],
      counters: {},
    };
    put('run/vmic/status/fcopy.json', JSON.stringify(wholeStatus(fcopy)));
    const { backups, copies } = await take();
    assert.deepEqual(backups, {
      current: { by: 'host', at, mountPoints: ['/'], isAlive: false },
      last: { by: 'host', at, result: 'early', problem: 'the limit' },
    });
    assert.deepEqual(copies, { last: lastCopy }, 'with its process a copy ends');
    const running = wholeStatus({ ...fcopy, process: ownIdentity() });
    put('run/vmic/status/fcopy.json', JSON.stringify(running));
    assert.deepEqual((await take()).copies, { copy, last: lastCopy });
    put('run/vmic/vss.json', '{}');
    put('run/vmic/status/fcopy.json', '');
    const spoilt = await take();
    assert.deepEqual([spoilt.backups, spoilt.copies], [undefined, undefined]);
  });

  it('tells C daemons from ours by their command lines', async () => {
    const process = (pid: number, comm: string, ...argv: string[]): void => {
      put(`proc/${pid}/comm`, `${comm}\n`);
      put(`proc/${pid}/cmdline`, argv.map((word) => `${word}\0`).join(''));
    };
    process(10, 'hv_kvp_daemon', '/usr/sbin/hv_kvp_daemon', '-n');
    process(11, 'hv_kvp_daemon', '/usr/bin/node', '/usr/sbin/hv_kvp_daemon');
    process(12, 'hv_vss_daemon', '/usr/lib/vmic/node', '/usr/lib/vmic/bin/vmic-vss');
    process(13, 'hv_fcopy_uio_da', '/usr/sbin/hv_fcopy_uio_daemon');
    process(14, 'chronyd', '/usr/sbin/chronyd');
    process(15, 'bash', 'bash', 'hv_kvp_daemon');
    // A kernel thread has no command line
    process(16, 'hv_vss_daemon');
    const { processes } = await take();
    assert.deepEqual(
      processes.map(({ pid }) => pid),
      [10, 13, 14],
    );
    assert.deepEqual(processes[0], {
      pid: 10,
      name: 'hv_kvp_daemon',
      command: '/usr/sbin/hv_kvp_daemon -n',
    });
  });

  it('has the units systemd knows', async () => {
    const systemctl = `\
Id=vmic-kvp.service
LoadState=loaded
ActiveState=active
UnitFileState=enabled
Result=success

Id=hv-kvp-daemon.service
LoadState=not-found
ActiveState=inactive
UnitFileState=
Result=success
`;
    assert.deepEqual((await take({ systemctl })).units, {
      'vmic-kvp.service': { active: 'active', enabled: 'enabled', result: 'success' },
    });
  });

  it('has denials that concern us, from the journal or else from dmesg', async () => {
    const log = [
      'audit: type=1400 avc:  denied  { write } for  pid=1 comm="vmic-kvp" name=".kvp_pool_0"',
      'audit: type=1400 avc:  denied  { write } for  pid=1 comm="httpd" name="x"',
      'audit: apparmor="DENIED" operation="open" profile="/usr/sbin/hv_kvp_daemon"',
      'vmic: all is well',
    ];
    const expected = [log[0], log[2]];
    assert.deepEqual((await take({ journalctl: log.join('\n') })).denials, expected);
    assert.deepEqual((await take({ journalctl: '', dmesg: log.join('\n') })).denials, expected);
    assert.deepEqual((await take({ dmesg: '' })).denials, []);
    assert.equal((await take({ journalctl: '' })).denials, undefined);
  });

  it('has the pools', async () => {
    put('var/lib/hyperv/.kvp_pool_3', 'x'.repeat(10));
    fs.chmodSync(path.join(root, 'var/lib/hyperv/.kvp_pool_3'), 0o640);
    const { pools } = await take();
    const { modifiedMs, uid, ...file } = pools.files[0]!;
    assert.deepEqual(file, {
      pool: 3,
      path: path.join(root, 'var/lib/hyperv/.kvp_pool_3'),
      mode: 0o640,
      sizeBytes: 10,
    });
    assert.equal(uid, process.getuid?.());
    assert.ok(Math.abs(Date.now() - modifiedMs) < 3_600_000);
  });
});
