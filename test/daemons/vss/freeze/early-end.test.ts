import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { FakeSystem, planOf, target } from './fake.ts';

const HOOKS = { files: ['/h/a', '/h/b'], refused: [] };

describe('a freeze that ends early', () => {
  it(
    'by the limit: hooks run, the status says so, and the thaw that is asked for later ' + 'tells',
    async () => {
      const system = new FakeSystem();
      system.hookFiles = HOOKS;
      const freezer = system.freezer();
      await freezer.freeze();
      system.guard.endsBy('limit');
      const record = await freezer.over();
      const problem =
        'everything was thawed before, since the limit had passed without a word of the host';
      assert.deepEqual([record?.result, record?.problem], ['early', problem]);
      assert.deepEqual(system.events.slice(-3), [
        'hook thaw /h/b 30',
        'hook thaw /h/a 30',
        'status: idle',
      ]);
      assert.deepEqual(await freezer.thaw(), { was: 'not-frozen', early: problem });
      assert.deepEqual(await freezer.thaw(), { was: 'not-frozen', early: undefined });
    },
  );

  it('by the limit, when there is nothing to freeze but hooks', async () => {
    const system = new FakeSystem();
    system.plans = planOf([]);
    system.hookFiles = HOOKS;
    const freezer = system.freezer({ limitSecs: 10 });
    await freezer.freeze();
    system.pass(11_000);
    assert.equal(freezer.busy, true);
    system.pass(1000);
    assert.equal((await freezer.over())?.result, 'early');
    assert.equal(
      ((await freezer.thaw()) as { early?: string }).early,
      'the limit had passed, and the guard said nothing',
    );
  });

  it('while a thaw is asked for: the thaw tells', async () => {
    const system = new FakeSystem();
    system.guard.thawReport = { reason: 'limit' };
    const freezer = system.freezer();
    await freezer.freeze();
    const outcome = await freezer.thaw();
    assert.ok(outcome.was === 'frozen' && outcome.problem?.includes('the limit had passed'));
    assert.equal((await freezer.over())?.result, 'early');
  });

  it('since somebody else thawed: the thaw tells', async () => {
    const system = new FakeSystem();
    system.guard.thawReport = { targets: [{ target: target('/x'), outcome: 'already-thawed' }] };
    const freezer = system.freezer();
    await freezer.freeze();
    const outcome = await freezer.thaw();
    assert.ok(outcome.was === 'frozen');
    assert.equal(outcome.problem, 'somebody else had thawed /x before');
  });

  it(
    'by a stop: the guard has its order at once, all is cleared up, and a later thaw ' + 'tells',
    async () => {
      const system = new FakeSystem();
      system.hookFiles = HOOKS;
      const freezer = system.freezer();
      await freezer.freeze();
      const stopped = freezer.stop('the service was stopped');
      assert.equal(system.events.at(-1), 'guard thaws');
      await stopped;
      assert.deepEqual(system.events.slice(-3), [
        'hook thaw /h/b 30',
        'hook thaw /h/a 30',
        'status: idle',
      ]);
      assert.deepEqual(
        [system.status.freezes[0]?.result, system.status.freezes[0]?.problem],
        ['early', 'the service was stopped'],
      );
      assert.deepEqual(await freezer.thaw(), {
        was: 'not-frozen',
        early: 'the service was stopped',
      });
    },
  );

  it('by a stop during a thaw: that waits for the clearing up', async () => {
    const system = new FakeSystem();
    system.hookFiles = HOOKS;
    let thawed = (): void => {};
    system.guard.thaws = new Promise((resolve) => {
      thawed = resolve;
    });
    const freezer = system.freezer();
    await freezer.freeze();
    const thawing = freezer.thaw();
    const stopping = freezer.stop('the service was stopped');
    thawed();
    await stopping;
    assert.equal(system.events.at(-1), 'status: idle');
    assert.deepEqual([(await thawing).was, system.status.freezes[0]?.result], ['frozen', 'thawed']);
  });

  it('by a stop during a hook: the hook is killed, nothing is frozen', async () => {
    const system = new FakeSystem();
    system.hookFiles = HOOKS;
    const freezer = system.freezer();
    let stopped: Promise<void> | undefined;
    let killed = (): void => {};
    system.killHook = () => killed();
    system.onHook = (call) => {
      if (call !== 'freeze /h/a') return;
      stopped = freezer.stop('the service was stopped');
      return new Promise((resolve) => {
        killed = resolve;
        setImmediate(() => system.killHook());
      });
    };
    const outcome = await freezer.freeze();
    await stopped;
    assert.deepEqual(outcome, { ok: false, problem: 'the service was stopped', busy: false });
    assert.ok(
      !system.events.some(
        (event) => event.startsWith('guard freezes') || event.startsWith('hook freeze /h/b'),
      ),
    );
    assert.ok(system.events.includes('hook thaw /h/a 30'));
  });

  it('by a stop while the guard freezes: it is let go of, which thaws', async () => {
    const system = new FakeSystem();
    system.guard.freezes = new Promise(() => {});
    const freezer = system.freezer();
    const freezing = freezer.freeze();
    while (!system.events.some((event) => event.startsWith('guard freezes')))
      await Promise.resolve();
    await freezer.stop('the channel to the host ended');
    assert.deepEqual(await freezing, {
      ok: false,
      problem: 'the channel to the host ended',
      busy: false,
    });
    assert.equal(freezer.busy, false);
  });

  it('by nothing: a stop without a freeze does nothing', async () => {
    const system = new FakeSystem();
    await system.freezer().stop('x');
    assert.deepEqual(system.events, []);
  });
});
