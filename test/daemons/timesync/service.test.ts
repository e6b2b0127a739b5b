import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { version } from '../../../protocol/ic/version.ts';
import { NEITHER, SAMPLE, SYNC, scripted } from './script.ts';

const OK = { status: 0 };

describe('orders', () => {
  it('answers a sync at once and sets the clock when the burst is over', () => {
    const s = scripted();
    assert.deepEqual(s.service.handle({ hostTime100ns: s.hostTime100ns(2500), flags: SYNC }), OK);
    assert.deepEqual(s.memory.clockAdjustments, [], 'the answer goes out first');
    s.drained();
    assert.deepEqual(s.memory.clockAdjustments, [{ stepNs: 2_500_000_000n }]);
    assert.deepEqual(s.status.lastStep, { uptimeSecs: 1000, because: 'sync', byNs: '2500000000' });
    assert.equal(s.status.counters['steps'], 1);
    assert.ok(s.lines.includes('notice: Set the clock, as the host ordered'));
  });

  it('uses the newest of a burst, and keeps the order to set the clock that came before it', () => {
    const s = scripted();
    s.service.handle({ hostTime100ns: s.hostTime100ns(100), flags: SYNC });
    s.service.handle({ hostTime100ns: s.hostTime100ns(200), flags: SAMPLE });
    s.service.handle({ hostTime100ns: s.hostTime100ns(300), flags: SAMPLE });
    assert.equal(s.waiting, 1);
    s.drained();
    assert.deepEqual(s.memory.clockAdjustments, [{ stepNs: 300_000_000n }]);
    assert.deepEqual(
      [s.status.counters['messages'], s.status.counters['syncs'], s.status.counters['samples']],
      [3, 1, 2],
    );
  });

  it('slews by a sample', () => {
    const s = scripted();
    s.service.handle({ hostTime100ns: s.hostTime100ns(-3), flags: SAMPLE });
    s.drained();
    assert.deepEqual(s.memory.clockAdjustments, [{ slewUs: -3000, errorUs: 3000 }]);
    assert.deepEqual(s.status.last, { uptimeSecs: 1000, offsetNs: '-3000000', kind: 'plain' });
    assert.equal(s.status.counters['slews'], 1);
  });

  it('does nothing about a message without an order', () => {
    const s = scripted();
    assert.deepEqual(s.service.handle({ hostTime100ns: s.hostTime100ns(9e6), flags: NEITHER }), OK);
    assert.deepEqual(
      s.service.handle({ hostTime100ns: s.hostTime100ns(9e6), flags: { ...NEITHER, unknown: 4 } }),
      OK,
    );
    s.drained();
    assert.deepEqual(s.memory.clockAdjustments, []);
    assert.deepEqual(
      [s.status.counters['messages'], s.status.counters['ignored'], s.status.last],
      [2, 2, undefined],
    );
  });

  it('says that a guest was suspended', () => {
    const s = scripted();
    s.service.handle({ hostTime100ns: s.hostTime100ns(60_000), flags: SAMPLE });
    s.drained();
    assert.deepEqual(s.status.lastStep, {
      uptimeSecs: 1000,
      because: 'resume',
      byNs: '60000000000',
    });
    assert.ok(s.lines.includes('notice: Set the clock: this guest was suspended'));
  });

  it('says that a clock far ahead is not set back', () => {
    const s = scripted();
    s.service.handle({ hostTime100ns: s.hostTime100ns(-60_000), flags: SAMPLE });
    s.drained();
    assert.deepEqual(s.memory.clockAdjustments, [{ slewUs: -30_000 }]);
    assert.match(s.lines.join('\n'), /warning: The clock is ahead of the host's/);
  });

  it('refuses, answers all the same, and counts', () => {
    const s = scripted();
    assert.deepEqual(s.service.handle({ hostTime100ns: 0n, flags: SYNC }), OK);
    s.service.handle({ hostTime100ns: s.hostTime100ns(0), flags: SAMPLE });
    assert.deepEqual(s.service.handle({ hostTime100ns: s.hostTime100ns(-1), flags: SAMPLE }), OK);
    s.drained();
    assert.deepEqual([s.status.counters['absurd'], s.status.counters['backwards']], [1, 1]);
    assert.deepEqual(
      s.lines.filter((line) => line.startsWith('warning')),
      ['warning: Refused a time sample', 'warning: Refused a time sample'],
    );
  });
});

describe('the reference counter', () => {
  it('is asked where the host tells it, and tells the age of a sample', () => {
    let reads = 0;
    const s = scripted({
      counter: {
        read: () => {
          reads++;
          return { value100ns: 50_000n + 20_000n, rawNs: s.memory.rawNs };
        },
      },
    });
    s.service.handle({ hostTime100ns: s.hostTime100ns(0), flags: SAMPLE });
    assert.equal(reads, 0);
    s.service.handle({
      hostTime100ns: s.hostTime100ns(10),
      referenceTime100ns: 50_000n,
      flags: SAMPLE,
    });
    s.drained();
    assert.equal(reads, 1);
    // 10 ms ahead, and made 2 ms ago
    assert.deepEqual(s.memory.clockAdjustments, [{ slewUs: 12_000, errorUs: 12_000 }]);
    assert.equal(s.status.last!.kind, 'exact');
  });
});

describe('modes', () => {
  it('gives chronyd the samples, and counts those it took', () => {
    const s = scripted({
      choose: () => ({ mode: 'chrony', reason: 'chronyd', configured: false }),
    });
    s.service.handle({ hostTime100ns: s.hostTime100ns(7), flags: SAMPLE });
    s.drained();
    assert.deepEqual(s.memory.clockAdjustments, []);
    assert.deepEqual(s.fed, [{ realtimeNs: 1_767_225_600_000_000_000n, offsetNs: 7_000_000n }]);
    assert.equal(s.status.counters['fed'], 1);

    const deaf = scripted({
      choose: () => ({ mode: 'chrony', reason: 'chronyd', configured: false }),
      feedChrony: () => false,
    });
    deaf.service.handle({ hostTime100ns: deaf.hostTime100ns(7), flags: SAMPLE });
    deaf.drained();
    assert.equal(deaf.status.counters['fed'], 0);
  });

  it('looks again once a minute, and says when something has changed', () => {
    let mode: 'discipline' | 'observe' = 'discipline';
    let asked = 0;
    const s = scripted({
      choose: () => {
        asked++;
        return { mode, reason: `${mode} it is`, configured: false };
      },
    });
    const sample = () => {
      s.service.handle({ hostTime100ns: s.hostTime100ns(1), flags: SAMPLE });
      s.drained();
    };
    assert.equal(asked, 1);
    mode = 'observe';
    s.pass(59_000);
    sample();
    assert.deepEqual([asked, s.status.mode], [1, 'discipline']);
    s.pass(1000);
    sample();
    assert.deepEqual([asked, s.status.mode, s.status.reason], [2, 'observe', 'observe it is']);
    s.pass(60_000);
    sample();
    assert.equal(asked, 3);
    assert.deepEqual(
      s.lines.filter((line) => line.includes('Mode')),
      ['notice: Mode discipline', 'notice: Mode observe'],
    );
    assert.equal(s.memory.clockAdjustments.length, 1);
  });
});

describe('what goes wrong', () => {
  it('a clock that may not be changed is said, and tried again', () => {
    const s = scripted();
    s.memory.refuseAdjustments = 'EPERM';
    s.service.handle({ hostTime100ns: s.hostTime100ns(2500), flags: SYNC });
    s.drained();
    assert.match(s.status.problem!, /EPERM/);
    assert.deepEqual([s.status.counters['failures'], s.status.counters['steps']], [1, 0]);
    assert.equal(s.status.lastStep, undefined);
    assert.match(s.lines.join('\n'), /error: The clock can't be changed/);
    s.memory.refuseAdjustments = undefined;
    s.service.handle({ hostTime100ns: s.hostTime100ns(2500), flags: SYNC });
    s.drained();
    assert.equal(s.status.problem, undefined);
    assert.equal(s.status.counters['steps'], 1);
  });

  it('nothing is done after the end, and what the ports hold is given back', () => {
    const s = scripted();
    s.service.handle({ hostTime100ns: s.hostTime100ns(2500), flags: SYNC });
    s.service.close();
    s.drained();
    assert.deepEqual(s.memory.clockAdjustments, []);
    assert.equal(s.closes, 1);
  });
});

it('tells who asks from the start on, and which version was agreed on', () => {
  const s = scripted();
  assert.equal(s.published.length, 1);
  assert.deepEqual(
    [s.status.clock, s.status.mode, s.status.configured, s.status.version],
    ['system', 'discipline', true, undefined],
  );
  s.service.connected({ via: 'vmbus', framework: version(3, 0), message: version(4, 0) });
  assert.equal(s.status.version, '4.0');
});
