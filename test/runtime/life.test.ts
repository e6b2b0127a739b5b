import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CurrentLife, type Life, tellLife } from '../../runtime/life.ts';
import type { Peer } from '../../runtime/service.ts';
import type { Session } from '../../runtime/sessions/session.ts';

const peer: Peer = { via: 'hv_utils', versionText: '7' };
const session: Session = {
  busySinceMs: undefined,
  lastRequestMs: 12,
  start: () => {},
  leave: () => false,
  counters: () => ({ requests: 3 }),
  close: () => {},
};
const serving: Life = { is: 'serving', session, peer, end: () => {} };
const left: Life = { is: 'left', peer, lastRequestMs: 4, counters: { requests: 2 } };

describe('life of a daemon, as its status file tells it', () => {
  const nothing = { lastRequestMs: undefined, counters: {} };

  it('waits before it has a channel, and says for what once it knows', () => {
    assert.deepEqual(tellLife({ is: 'opening' }), { state: 'waiting', ...nothing });
    const waiting = tellLife({ is: 'waiting', reason: 'a device' });
    assert.deepEqual(waiting, { state: 'waiting', waitingFor: 'a device', ...nothing });
  });

  it('serves, with the figures of the session and the peer where it is known', () => {
    const figures = { lastRequestMs: 12, counters: { requests: 3 } };
    assert.deepEqual(tellLife(serving), { state: 'serving', peer, ...figures });
    assert.deepEqual(tellLife({ ...serving, peer: undefined }), { state: 'serving', ...figures });
  });

  it('serves on while the channel is opened anew', () => {
    assert.deepEqual(tellLife({ is: 'between', peer }), { state: 'serving', peer, ...nothing });
  });

  it('leaves its last figures behind', () => {
    const figures = { lastRequestMs: 4, counters: { requests: 2 } };
    assert.deepEqual(tellLife(left), { state: 'left', peer, ...figures });
  });
});

describe('changes of a life', () => {
  const toldPeer = (life: CurrentLife): Peer | undefined => tellLife(life.now).peer;

  it('knows what it waits for, and when that is new', () => {
    const life = new CurrentLife();
    assert.equal(life.wait('a device'), true);
    assert.equal(life.wait('a device'), false);
    assert.equal(life.wait('another device'), true);
    life.serve(session, () => {});
    life.part();
    assert.equal(life.wait('another device'), true);
  });

  it('has a session while it serves', () => {
    const life = new CurrentLife();
    assert.equal(life.session, undefined);
    life.serve(session, () => {});
    assert.equal(life.session, session);
    life.part();
    assert.equal(life.session, undefined);
    assert.equal(life.now.is, 'between');
  });

  it('knows its peer until the device is gone', () => {
    const life = new CurrentLife();
    life.serve(session, () => {});
    assert.equal(life.meet(peer), true);
    assert.equal(life.meet({ ...peer }), false);
    life.part();
    life.serve(session, () => {});
    assert.deepEqual(toldPeer(life), peer);
    life.part();
    life.wait('the device');
    life.serve(session, () => {});
    assert.equal(toldPeer(life), undefined);
  });

  it('leaves when its session does, and has left for good', () => {
    const life = new CurrentLife();
    const end = (): void => {};
    assert.equal(life.leave(), undefined);
    life.serve(session, end);
    assert.equal(life.leave(), undefined);
    life.serve({ ...session, leave: () => true }, end);
    assert.equal(life.leave(), end);
    life.part();
    const { state, counters } = tellLife(life.now);
    assert.deepEqual({ state, counters }, { state: 'left', counters: { requests: 3 } });
  });
});
