import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Life, peerOf, tellLife } from '../../runtime/life.ts';
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

  it('forgets its peer only when the device is gone', () => {
    assert.equal(peerOf(serving), peer);
    assert.equal(peerOf({ is: 'between', peer }), peer);
    assert.equal(peerOf(left), peer);
    assert.equal(peerOf({ is: 'waiting', reason: 'a device' }), undefined);
    assert.equal(peerOf({ is: 'opening' }), undefined);
  });
});
