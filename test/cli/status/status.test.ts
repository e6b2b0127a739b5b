import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { showStatus } from '../../../cli/status/show.ts';
import type { Snapshot } from '../../../cli/status/snapshot.ts';
import { describeStatus, summarize } from '../../../cli/status/status.ts';
import type { ServiceName } from '../../../protocol/ic/classes.ts';
import { healthy, lastCopy, status, withService } from './snapshots.ts';

const line = (snapshot: Snapshot, service: ServiceName) =>
  summarize(snapshot).find((one) => one.service === service)!;
const seen = (snapshot: Snapshot, service: ServiceName) => {
  const { answerer, hostSees } = line(snapshot, service);
  return `${answerer}: ${hostSees}`;
};
const nobody = { isRunning: false };

describe('vmic status', () => {
  it('is one screen', () => {
    const snapshot = healthy();
    assert.equal(
      describeStatus(snapshot, summarize(snapshot)),
      `\
SERVICE    CHANNEL    ANSWERED BY             VERSIONS      LAST REQUEST  HOST SEES
heartbeat  hv_utils   kernel                  -             -             OK (applications unknown)
shutdown   hv_utils   kernel                  -             -             OK
timesync   hv_utils   kernel                  -             -             OK
kvp        hv_utils   vmic (500)              hv_utils 3.1  30 s ago      OK
vss        hv_utils   vmic on demand, asleep  hv_utils 3.1  30 s ago      OK
fcopy      /dev/uio0  vmic on demand, asleep  3.0/1.1       30 s ago      OK
`,
    );
  });

  it('tells of backups and file copies', () => {
    const more = (changes: Partial<Snapshot>): string[] => {
      const snapshot = healthy(changes);
      return describeStatus(snapshot, summarize(snapshot)).split('\n').slice(8, -1);
    };
    const at = '2026-06-01T11:59:50.000Z';
    const current = { by: 'host', at, mountPoints: ['/', '/a\u001b[2J'], isAlive: true } as const;
    const copy = { target: '/x', sizeBytes: 10, receivedBytes: 4, startedUptimeSecs: 1 };
    assert.deepEqual(more({ backups: { current }, copies: { copy, last: lastCopy } }), [
      `vss: frozen since ${at} for the host: /, /a\\x1b[2J`,
      'fcopy: /x is being copied, 4 of 10 bytes are here',
    ]);
    assert.deepEqual(more({ backups: { current: { ...current, isAlive: false } } }), [
      `vss: INTERRUPTED, a freeze of ${at} for the host: /, /a\\x1b[2J`,
    ]);
    assert.deepEqual(
      more({
        backups: { last: { by: 'command', at, result: 'failed', problem: 'a hook refused' } },
        copies: { last: lastCopy },
      }),
      [
        `vss: last freeze ${at} for a command: FAILED, nothing was frozen: a hook refused`,
        'fcopy: last file /srv/a, 60 s ago: copied',
      ],
    );
    assert.deepEqual(more({ backups: {}, copies: {} }), []);
    const backups = { current };
    assert.deepEqual(line(healthy({ backups }), 'vss').backups, backups);
  });

  it('is JSON for machines', () => {
    let out = '';
    assert.equal(showStatus({ out: (text) => (out += text) }, healthy(), true), 0);
    const { services, ...rest } = JSON.parse(out);
    assert.deepEqual(rest, { isHyperV: true, hasVmbus: true, kernel: '6.12.43+deb13-cloud-amd64' });
    assert.deepEqual(services[3], {
      service: 'kvp',
      channel: 'c',
      owner: 'hv_utils',
      answerer: 'resident',
      pid: 500,
      versions: 'hv_utils 3.1',
      lastRequestSecsAgo: 30,
      hostSees: 'OK',
      counters: { requests: 7 },
    });
  });

  it('says so where there is no VMBus', () => {
    for (const [isHyperV, words] of [
      [false, 'This is no Hyper-V guest: there is no VMBus.\n'],
      [
        true,
        'This is a Hyper-V guest, but there is no VMBus: the module hv_vmbus is not loaded.\n',
      ],
    ] as const) {
      let out = '';
      const snapshot = healthy({ isHyperV, hasVmbus: false, channels: {} });
      assert.equal(showStatus({ out: (text) => (out += text) }, snapshot, false), 1);
      assert.equal(out, words);
    }
  });

  it('tells who answers, and what the host sees of it', () => {
    const uio = { name: 'c', driver: 'uio_hv_generic', device: '/dev/uio1' };
    const beats = (details: Record<string, unknown>) =>
      withService('heartbeat', {
        channel: uio,
        daemon: { isRunning: true, status: status('heartbeat', { details }) },
      });
    assert.equal(
      seen(beats({ applicationState: 'critical' }), 'heartbeat'),
      'resident: OK (applications critical)',
    );
    assert.equal(seen(beats({}), 'heartbeat'), 'resident: OK (applications unknown)');
    assert.equal(
      seen(withService('heartbeat', { channel: uio }), 'heartbeat'),
      'nobody: No Contact',
    );
    assert.equal(
      seen(withService('heartbeat', { channel: { name: 'c' } }), 'heartbeat'),
      'nobody: No Contact',
    );
    assert.equal(seen(withService('vss', { channel: null }), 'vss'), 'nobody: switched off');
    assert.equal(seen(withService('kvp', { daemon: nobody }), 'kvp'), 'nobody: No Contact');
    const { peer: _, ...unknown } = status('kvp');
    assert.equal(
      seen(withService('kvp', { daemon: { isRunning: true, status: unknown } }), 'kvp'),
      'resident: not negotiated yet',
    );
    const awake = { isRunning: true, status: status('vss', { onDemand: true }) };
    assert.equal(seen(withService('vss', { daemon: awake }), 'vss'), 'on demand: OK');
  });

  it('a daemon that was killed answers nothing, nor does one whose socket unit is stopped', () => {
    assert.equal(
      seen(withService('kvp', { daemon: { isRunning: false, status: status('kvp') } }), 'kvp'),
      'nobody: No Contact',
    );
    const units = {
      ...healthy().units,
      'vmic-vss.socket': { active: 'failed', enabled: 'enabled', result: 'resources' },
    };
    assert.equal(seen(healthy({ units }), 'vss'), 'nobody: No Contact');
    const { 'vmic-fcopy@uio0.socket': _gone, ...noInstance } = healthy().units!;
    assert.equal(seen(healthy({ units: noInstance }), 'fcopy'), 'nobody: No Contact');
    // Without systemd the daemon's last word has to do
    const { units: _, ...without } = healthy();
    assert.equal(seen(without, 'vss'), 'asleep: OK');
  });

  it('a C daemon is told from ours', () => {
    const processes = [{ pid: 77, name: 'hypervkvpd', command: '/usr/sbin/hypervkvpd -n' }];
    const alone = withService('kvp', { daemon: nobody }, { processes });
    assert.equal(seen(alone, 'kvp'), 'C daemon: OK');
    assert.equal(line(alone, 'kvp').pid, 77);
    const beside = status('kvp', { state: 'waiting', waitingFor: 'in use by \u001b[31m another' });
    const both = withService('kvp', { daemon: { isRunning: true, status: beside } }, { processes });
    assert.equal(seen(both, 'kvp'), 'C daemon: OK');
    const waits = withService('kvp', { daemon: { isRunning: true, status: beside } });
    assert.equal(seen(waits, 'kvp'), 'waiting: No Contact');
    assert.match(
      describeStatus(waits, summarize(waits)),
      /\nkvp waits: in use by \\x1b\[31m another\n$/,
    );
  });
});
