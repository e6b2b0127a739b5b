import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Freezer } from '../../../../daemons/vss/freeze/freezer.ts';
import { FakeSystem } from './fake.ts';

describe('what a process left behind that ended in the middle', () => {
  const current = {
    by: 'host' as const,
    process: { pid: 7, startTicks: '7' },
    at: '2026-11-22T00:00:00.000Z',
    mountPoints: ['/', '/home'],
    hooks: ['/h/a', '/h/b'],
  };

  it('is thawed, its hooks are run, and it is told of; a freeze waits for that', async () => {
    const system = new FakeSystem();
    system.status = { service: 'vss', freezes: [], current };
    system.recovery = { complete: true, thawed: ['/home'] };
    const freezer = system.freezer();
    void freezer.recover(current);
    const freezing = freezer.freeze();
    await freezing;
    assert.deepEqual(system.events.slice(0, 5), [
      'thaws what is recorded',
      'hook thaw /h/b 30',
      'hook thaw /h/a 30',
      'status: idle',
      'guard starts',
    ]);
    assert.equal(system.status.freezes[0]?.result, 'interrupted');
    assert.ok(system.lines.some((line) => line.includes('left behind') && line.includes('/home')));
  });

  it('keeps the process until all is cleared up', async () => {
    const system = new FakeSystem();
    let release = (): void => {};
    system.onHook = () => new Promise((resolve) => (release = resolve));
    const freezer = system.freezer();
    const current = {
      by: 'host',
      process: system.self,
      at: 'x',
      mountPoints: ['/'],
      hooks: ['/h/a'],
    } as const;
    void freezer.recover(current);
    await new Promise(setImmediate);
    assert.equal(freezer.busy, true);
    release();
    await freezer.over();
    await new Promise(setImmediate);
    assert.equal(freezer.busy, false);
  });

  it('is told to the host once, by whatever process', async () => {
    const system = new FakeSystem();
    const first = system.freezer();
    await first.freeze();
    system.guard.endsBy('limit');
    assert.equal((await first.over())?.result, 'early');
    // The process has left, and the thaw starts the next
    const woken = (): Freezer => {
      const freezer = system.freezer();
      void freezer.recover(system.status.current, system.status.freezes[0]);
      return freezer;
    };
    const second = woken();
    assert.match(((await second.thaw()) as { early?: string }).early!, /the limit had passed/);
    await second.over();
    const third = woken();
    assert.deepEqual(await third.thaw(), { was: 'not-frozen', early: undefined });
    await third.over();
  });

  it('is not told again, when the thaw met it', async () => {
    const system = new FakeSystem();
    const freezer = system.freezer();
    await freezer.freeze();
    system.guard.thawReport = { reason: 'limit' };
    const outcome = await freezer.thaw();
    assert.ok(outcome.was === 'frozen' && outcome.problem !== undefined);
    await freezer.over();
    const next = system.freezer();
    void next.recover(undefined, system.status.freezes[0]);
    assert.deepEqual(await next.thaw(), { was: 'not-frozen', early: undefined });
  });

  it('is said aloud when it can not be thawed', async () => {
    const system = new FakeSystem();
    system.recovery = { complete: false, problem: 'no answer', thawed: [] };
    const { complete } = await system.freezer().recover(undefined);
    assert.equal(complete, false);
    assert.match(system.lines[0]!, /^critical: Something is still frozen .*no answer/);
    assert.deepEqual(system.status.freezes, []);
  });
});
