import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { diagnose } from '../../../cli/doctor/diagnose.ts';
import { EXPLANATIONS, findExplanation } from '../../../cli/doctor/explain.ts';
import { doctor, explain } from '../../../cli/doctor/show.ts';
import type { Snapshot } from '../../../cli/status/snapshot.ts';
import { BOOT_MS, healthy, lastCopy, pool, status, withService } from '../status/snapshots.ts';

const found = (snapshot: Snapshot): string[] =>
  diagnose(snapshot).map(
    ({ severity, id, service }) => `${severity} ${id}${service ? ` ${service}` : ''}`,
  );
const mended = (snapshot: Snapshot): readonly (readonly string[] | undefined)[] =>
  diagnose(snapshot).map(({ mend }) => mend);
const nobody = { isRunning: false };
const uio = { name: 'c', driver: 'uio_hv_generic', device: '/dev/uio1' };
const unit = (active: string, enabled = 'enabled', result = 'success') => ({
  active,
  enabled,
  result,
});
const units = (more: NonNullable<Snapshot['units']>) => ({ ...healthy().units, ...more });
const pools = (...files: ReturnType<typeof pool>[]) => ({
  pools: { directory: '/var/lib/hyperv', exists: true, files },
});

describe('vmic doctor', () => {
  it('finds nothing where all is well', () => {
    assert.deepEqual(found(healthy()), []);
    let out = '';
    assert.equal(
      doctor({ out: (text) => (out += text) }, healthy(), { json: false, all: false }),
      0,
    );
    assert.equal(out, 'Nothing is wrong.\n');
  });

  const cases: readonly [what: string, Snapshot, expected: string[], mend?: readonly string[]][] = [
    [
      'another machine',
      healthy({ isHyperV: false, hasVmbus: false, channels: {} }),
      ['problem no-hyper-v'],
    ],
    [
      'a guest without VMBus',
      healthy({ hasVmbus: false, channels: {} }),
      ['problem no-vmbus'],
      ['modprobe hv_vmbus', 'modprobe hv_utils'],
    ],
    [
      'no channels (WSL)',
      healthy({ channels: {}, pools: { directory: '/x', exists: false, files: [] } }),
      ['problem no-channels'],
    ],
    [
      'hv_utils missing',
      withService('heartbeat', { channel: { name: 'c' } }, { modules: ['hv_vmbus', 'hv_sock'] }),
      ['problem hv-utils-missing', 'problem channel-unbound heartbeat'],
      ['modprobe hv_utils'],
    ],
    [
      'file copy bound to nobody',
      withService('fcopy', { channel: { name: 'c' } }),
      ['problem channel-unbound fcopy'],
      ['systemctl enable vmic-fcopy.socket', 'systemctl enable --now vmic-fcopy-channel.service'],
    ],
    [
      'file copy over UIO that nobody serves',
      withService('fcopy', { daemon: nobody }),
      ['problem user-space-silent fcopy'],
      ['systemctl enable vmic-fcopy.socket', 'systemctl start vmic-fcopy@uio0.socket'],
    ],
    [
      'file copy over the char device that nobody serves',
      withService(
        'fcopy',
        { channel: { name: 'c', driver: 'hv_utils' }, daemon: nobody },
        { utilsDevices: ['hv_kvp', 'hv_vss', 'hv_fcopy'] },
      ),
      ['warning no-daemon fcopy'],
      ['systemctl enable --now vmic-fcopy.socket'],
    ],
    [
      'an instance that has failed',
      healthy({
        units: units({ 'vmic-fcopy@uio0.socket': unit('failed', 'static', 'resources') }),
      }),
      ['problem user-space-silent fcopy', 'problem unit-failed fcopy'],
      ['systemctl enable vmic-fcopy.socket', 'systemctl start vmic-fcopy@uio0.socket'],
    ],
    [
      'a freeze that nobody has cleared up after',
      healthy({
        backups: {
          current: { by: 'host', at: '2026-06-01T11:00:00Z', mountPoints: ['/'], isAlive: false },
        },
      }),
      ['problem freeze-interrupted vss'],
      ['vmic vss thaw'],
    ],
    [
      'a backup that is not consistent',
      healthy({
        backups: {
          last: { by: 'host', at: '2026-06-01T11:00:00Z', result: 'early', problem: 'the limit' },
        },
      }),
      ['warning freeze-failed vss'],
      ['vmic vss status', 'vmic vss plan'],
    ],
    [
      'a file that found no room',
      healthy({ copies: { last: { ...lastCopy, result: 'diskFull' } } }),
      ['warning copy-failed fcopy'],
      ['vmic fcopy status', 'df -h'],
    ],
    [
      'copies and backups that are under way, or ended as the host wished',
      healthy({
        backups: {
          current: { by: 'host', at: '2026-06-01T11:00:00Z', mountPoints: ['/'], isAlive: true },
          last: { by: 'host', at: '2026-06-01T10:00:00Z', result: 'failed' },
        },
        copies: { last: { ...lastCopy, result: 'cancelled' } },
      }),
      [],
    ],
    [
      'a channel in user space that nobody serves',
      withService('heartbeat', { channel: uio }),
      ['problem user-space-silent heartbeat'],
      ['systemctl start vmic-heartbeat.service', '# or: vmic release heartbeat'],
    ],
    [
      'no KVP daemon',
      withService('kvp', { daemon: nobody }),
      ['problem no-daemon kvp'],
      ['systemctl enable --now vmic-kvp.service'],
    ],
    [
      'no VSS daemon',
      withService('vss', { daemon: nobody }),
      ['warning no-daemon vss'],
      ['systemctl enable --now vmic-vss.socket'],
    ],
    [
      'a device that hv_utils did not make',
      withService('kvp', { daemon: nobody }, { utilsDevices: ['hv_vss'] }),
      ['problem device-missing kvp'],
    ],
    [
      'a daemon that waits',
      withService('kvp', {
        daemon: { isRunning: true, status: status('kvp', { state: 'waiting', waitingFor: 'x' }) },
      }),
      ['problem daemon-waits kvp'],
    ],
    [
      'no version in common',
      withService('fcopy', {
        daemon: {
          isRunning: true,
          status: (({ peer: _, ...rest }) => ({ ...rest, counters: { negotiations: 2 } }))(
            status('fcopy'),
          ),
        },
      }),
      ['problem no-common-version fcopy'],
    ],
    [
      'a failed unit',
      healthy({
        units: units({ 'vmic-timesync.service': unit('failed', 'enabled', 'exit-code') }),
      }),
      ['problem unit-failed timesync'],
    ],
    [
      'a C daemon instead of ours',
      withService(
        'kvp',
        { daemon: nobody },
        {
          processes: [{ pid: 9, name: 'hv_kvp_daemon', command: '/usr/sbin/hv_kvp_daemon -n' }],
          units: units({ 'hv-kvp-daemon.service': unit('active') }),
        },
      ),
      ['warning c-daemon kvp'],
      ['systemctl disable --now hv-kvp-daemon.service', 'systemctl enable --now vmic-kvp.service'],
    ],
    [
      'a C daemon in the way of ours',
      withService(
        'kvp',
        { daemon: { isRunning: true, status: status('kvp', { state: 'waiting' }) } },
        { processes: [{ pid: 9, name: 'hypervkvpd', command: 'hypervkvpd' }] },
      ),
      ['problem c-daemon kvp'],
      ['kill 9', 'systemctl enable --now vmic-kvp.service'],
    ],
    [
      'two programs on the clock',
      healthy({
        processes: [
          { pid: 1, name: 'chronyd', command: '' },
          { pid: 2, name: 'chronyd', command: '' },
          { pid: 3, name: 'systemd-timesyn', command: '' },
        ],
        units: units({ 'systemd-timesyncd.service': unit('active') }),
      }),
      ['problem clock-two-programs'],
      ['systemctl disable --now systemd-timesyncd.service'],
    ],
    [
      'vmic and another on the clock',
      withService('timesync', {
        channel: uio,
        daemon: {
          isRunning: true,
          status: status('timesync', { details: { mode: 'discipline' } }),
        },
      }),
      ['problem clock-vmic-and-other timesync'],
    ],
    [
      'vmic beside another, which it leaves the clock to',
      withService('timesync', {
        channel: uio,
        daemon: { isRunning: true, status: status('timesync', { details: { mode: 'observe' } }) },
      }),
      [],
    ],
    [
      'no folder for pools',
      healthy({ pools: { directory: '/x', exists: false, files: [] } }),
      ['problem pools-missing kvp'],
    ],
    ['a private pool', healthy(pools(pool(1, { mode: 0o600 }))), []],
    [
      'a pool anybody can write',
      healthy(pools(pool(1, { mode: 0o666 }))),
      ['problem pool-writable kvp'],
    ],
    ['a pool of another mode', healthy(pools(pool(1, { mode: 0o640 }))), ['warning pool-mode kvp']],
    ['a pool of a user', healthy(pools(pool(1, { uid: 1000 }))), ['problem pool-owner kvp']],
    ['a torn pool', healthy(pools(pool(0, { sizeBytes: 2561 }))), ['warning pool-damaged kvp']],
    [
      'a pool from the image',
      healthy({ ...pools(pool(3, { modifiedMs: BOOT_MS - 9e7 })), machineIdMs: BOOT_MS - 1000 }),
      ['warning pool-stale kvp'],
      ['vmic generalize'],
    ],
    [
      'an empty one from the image',
      healthy({
        ...pools(pool(3, { modifiedMs: BOOT_MS - 9e7, sizeBytes: 0 })),
        machineIdMs: BOOT_MS,
      }),
      [],
    ],
    [
      'a pool the host forgot',
      healthy(pools(pool(3, { modifiedMs: BOOT_MS - 1 }))),
      ['note pool-not-refreshed kvp'],
    ],
    [
      'what the guest wrote before it was restarted',
      healthy(pools(pool(1, { modifiedMs: BOOT_MS - 1 }))),
      [],
    ],
    [
      'denied by SELinux',
      healthy({ denials: ['audit: avc:  denied  { read } for  comm="vmic-kvp" name="x"'] }),
      ['problem access-denied'],
    ],
    [
      'denied by AppArmor',
      healthy({ denials: ['audit: apparmor="DENIED" profile="vmic-kvp"'] }),
      ['problem access-denied'],
    ],
    [
      'logs only root can read',
      (({ denials: _, ...rest }) => rest)(healthy()),
      ['note denials-unknown'],
    ],
    [
      'no hv_sock',
      healthy({ modules: ['hv_vmbus', 'hv_utils', 'uio_hv_generic'] }),
      ['note hv-sock-missing'],
    ],
    [
      'a kernel that gives no channel away',
      healthy({
        kernel: '6.1.0-40-amd64',
        units: units({ 'vmic-heartbeat.service': unit('inactive') }),
      }),
      ['warning kernel-too-old'],
      ['systemctl disable vmic-heartbeat.service'],
    ],
    ['the same kernel where nobody wants that', healthy({ kernel: '6.1.0-40-amd64' }), []],
    [
      'a status nobody can read',
      withService('shutdown', { daemon: { isRunning: false, problem: 'EACCES' } }),
      ['warning status-unreadable shutdown'],
    ],
    [
      'a service that is switched off',
      withService('vss', { channel: null }),
      ['note switched-off vss'],
    ],
  ];
  for (const [what, snapshot, expected, mend] of cases) {
    it(what, () => {
      assert.deepEqual(found(snapshot), expected);
      if (mend) assert.deepEqual(mended(snapshot)[0], mend);
    });
  }

  it('puts the worst first, and notes aside', () => {
    const snapshot = withService(
      'kvp',
      { daemon: nobody },
      { modules: ['hv_utils'], denials: ['avc: denied \u001b[2J vmic'] },
    );
    let out = '';
    assert.equal(
      doctor({ out: (text) => (out += text) }, snapshot, { json: false, all: false }),
      1,
    );
    const [first, second] = [
      /^PROBLEM {2}No daemon.*\n.*\n {6}systemctl enable --now vmic-kvp\.service\n\n/,
      /PROBLEM.*\\x1b\[2J.*One note more with --all\.\n$/,
    ];
    assert.match(out, new RegExp(`${first.source}${second.source}`, 's'));
    out = '';
    doctor({ out: (text) => (out += text) }, snapshot, { json: true, all: false });
    const { findings, snapshot: taken } = JSON.parse(out);
    assert.equal(findings.length, 3);
    assert.deepEqual(taken, snapshot);
  });

  it('warnings alone are no failure', () => {
    assert.equal(
      doctor({ out: () => {} }, withService('vss', { daemon: nobody }), {
        json: false,
        all: false,
      }),
      0,
    );
  });
});

describe('vmic doctor --explain', () => {
  it('knows each code in the spellings people have it in', () => {
    for (const text of [
      '0x800710DF',
      '0x800710df',
      '-2147020577',
      '2147946719',
      ' "0x800710DF". ',
      'HRESULT: 0x800710DF',
      'failed to copy: the device is not ready for use (0x800710DF)',
    ]) {
      assert.equal(findExplanation(text)?.code, '0x800710DF', text);
    }
    for (const text of ['no contact', 'No  Contact', 'NoContact'])
      assert.equal(findExplanation(text)?.code, 'No Contact', text);
    assert.equal(findExplanation('Protocol version mismatch')?.code, 'protocol version mismatch');
    for (const text of ['', ' ', '0', 'x', '0x', '12345', 'toString'])
      assert.equal(findExplanation(text), undefined, text);
  });

  it('has a name for one thing only', () => {
    const names = EXPLANATIONS.flatMap(({ code, also }) => [code, ...also]).map((name) =>
      name.toLowerCase(),
    );
    assert.equal(new Set(names).size, names.length);
  });

  it('lists what it knows when it does not know', () => {
    assert.throws(
      () => explain({ out: () => {} }, '\u001b[2J', false),
      /nothing is known about "\\x1b\[2J".*0x800710DF/s,
    );
    let out = '';
    assert.equal(explain({ out: (text) => (out += text) }, 'no contact', false), 0);
    assert.match(out, /^No Contact\n.*\n\nIt may be that:\n .*Look at:\n {2}vmic doctor\n/s);
  });
});
