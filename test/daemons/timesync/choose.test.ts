import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { chooseMode, type Surroundings } from '../../../daemons/timesync/choose.ts';
import { encodeChronySample, readRefclocks } from '../../../daemons/timesync/chrony.ts';

const SOCKET = '/run/chrony/vmic.sock';
const around = (names: string[], more: Partial<Surroundings> = {}): Surroundings => ({
  processNames: new Set(['systemd', 'bash', ...names]),
  chronySocketExists: false,
  refclocks: [],
  ...more,
});
const choose = (names: string[], more?: Partial<Surroundings>) =>
  chooseMode(around(names, more), SOCKET);

describe('the mode is', () => {
  it('discipline where nobody else does it', () => {
    assert.deepEqual(choose([]), {
      mode: 'discipline',
      reason: 'no other program disciplines the clock',
    });
    assert.equal(
      choose([], { chronySocketExists: true }).mode,
      'discipline',
      'a socket that chronyd left behind',
    );
  });

  it('chrony where chronyd listens', () => {
    assert.deepEqual(choose(['chronyd'], { chronySocketExists: true }), {
      mode: 'chrony',
      reason: 'chronyd disciplines the clock and listens on /run/chrony/vmic.sock',
    });
  });

  it('observe where chronyd does not, with the line that would change it', () => {
    const choice = choose(['chronyd']);
    assert.deepEqual([choice.mode, choice.reason], ['observe', 'chronyd disciplines the clock']);
    assert.match(choice.advice!, /add "refclock SOCK \/run\/chrony\/vmic\.sock /);
  });

  it(
    'observe with a warning where chronyd uses the clock of hv_utils, which is gone while we ' +
      'have the channel',
    () => {
      const phc = { driver: 'PHC', parameter: '/dev/ptp_hyperv' };
      const choice = choose(['chronyd'], {
        refclocks: [{ driver: 'SOCK', parameter: '/run/gps.sock' }, phc],
      });
      assert.equal(choice.mode, 'observe');
      assert.match(
        choice.advice!,
        /\/dev\/ptp_hyperv belongs to hv_utils and is gone .* replace it by "refclock SOCK/,
      );
      assert.equal(
        choose(['chronyd'], { refclocks: [phc], chronySocketExists: true }).mode,
        'chrony',
      );
    },
  );

  it('observe beside the others', () => {
    for (const [process, name] of [
      ['systemd-timesyn', 'systemd-timesyncd'],
      ['ntpd', 'ntpd'],
      ['ntp-daemon', 'ntp-daemon'],
      ['phc2sys', 'phc2sys'],
    ] as const) {
      assert.deepEqual(choose([process]), {
        mode: 'observe',
        reason: `${name} disciplines the clock`,
      });
    }
    assert.equal(choose(['ntpd', 'phc2sys']).reason, 'ntpd and phc2sys discipline the clock');
  });
});

describe("chronyd's configuration", () => {
  const read = (files: Record<string, string>, main = '/etc/chrony/chrony.conf') =>
    readRefclocks(
      {
        read: (path) => (Object.hasOwn(files, path) ? files[path] : undefined),
        list: (folder) =>
          Object.keys(files)
            .filter((path) => path.slice(0, path.lastIndexOf('/')) === folder)
            .map((path) => path.slice(folder.length + 1))
            .sort(),
      },
      main,
    );

  it('gives its reference clocks, as Azure and others write them', () => {
    assert.deepEqual(
      read({
        '/etc/chrony/chrony.conf': [
          '# refclock PHC /dev/ptp9',
          '! refclock PHC /dev/ptp8',
          'pool 2.debian.pool.ntp.org iburst',
          'refclock PHC /dev/ptp_hyperv poll 3 dpoll -2 offset 0 stratum 2',
          '  RefClock sock /run/chrony.ttyS0.sock',
          'refclock PHC /dev/ptp0:nocrossts poll 3',
          'refclock',
          'refclock PPS',
        ].join('\n'),
      }),
      [
        { driver: 'PHC', parameter: '/dev/ptp_hyperv' },
        { driver: 'SOCK', parameter: '/run/chrony.ttyS0.sock' },
        { driver: 'PHC', parameter: '/dev/ptp0' },
      ],
    );
  });

  it('follows confdir, sourcedir and include, each file once', () => {
    const found = read({
      '/etc/chrony/chrony.conf':
        'confdir /etc/chrony/conf.d\nsourcedir /run/chrony /etc/chrony/sources.d\ninclude ' +
        '/etc/extra/a*.inc\ninclude /etc/chrony/chrony.conf',
      '/etc/chrony/conf.d/one.conf': 'refclock SHM 0',
      '/etc/chrony/conf.d/one.conf.bak': 'refclock SHM 1',
      '/etc/chrony/sources.d/two.sources': 'refclock SHM 2\ninclude /etc/chrony/conf.d/one.conf',
      '/etc/extra/abc.inc': 'refclock SHM 3',
      '/etc/extra/b.inc': 'refclock SHM 4',
    });
    assert.deepEqual(
      found.map(({ parameter }) => parameter),
      ['0', '2', '3'],
    );
  });

  it('may be missing or nonsense', () => {
    assert.deepEqual(read({}), []);
    fc.assert(
      fc.property(fc.string({ maxLength: 200 }), (text) => {
        assert.ok(Array.isArray(read({ '/etc/chrony/chrony.conf': `include ${text}\n${text}` })));
      }),
    );
  });
});

describe('samples for chronyd', () => {
  it('lie as its struct sock_sample does', () => {
    // 1780272000.123456789 s; 1.5 s behind
    assert.equal(
      Buffer.from(encodeChronySample(1_780_272_000_123_456_000n, 1_500_000_000n)).toString('hex'),
      '80cb1c6a00000000' +
        '40e2010000000000' +
        '000000000000f83f' +
        '00000000' +
        '00000000' +
        '00000000' +
        '4b434f53',
    );
  });

  it('lose nothing of a time in nanoseconds', () => {
    fc.assert(
      fc.property(
        fc.bigInt({ min: 0n, max: 2n ** 62n }),
        fc.bigInt({ min: -1_000_000_000n, max: 1_000_000_000n }),
        (realtimeNs, offsetNs) => {
          const view = new DataView(encodeChronySample(realtimeNs, offsetNs).buffer);
          const trueNs =
            view.getBigInt64(0, true) * 1_000_000_000n +
            view.getBigInt64(8, true) * 1000n +
            BigInt(Math.round(view.getFloat64(16, true) * 1e9));
          assert.equal(trueNs, realtimeNs + offsetNs);
        },
      ),
    );
  });
});
