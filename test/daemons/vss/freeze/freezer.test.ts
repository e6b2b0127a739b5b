import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Freezer } from '../../../../daemons/vss/freeze/freezer.ts';
import type { GuardEnd } from '../../../../daemons/vss/freeze/guard-types.ts';
import { KEPT_RECORDS } from '../../../../daemons/vss/freeze/status.ts';
import { FakeGuard, FakeSystem, planOf, target } from './fake.ts';

const HOOKS = { files: ['/h/a', '/h/b'], refused: [] };

describe('a freeze', () => {
  it(
    'runs hooks in order before, in reverse order after, with the log held in ' + 'between',
    async () => {
      const system = new FakeSystem();
      system.plans = planOf([[target('/img')], [target('/'), target('/home')]]);
      system.hookFiles = HOOKS;
      const freezer = system.freezer();
      const outcome = await freezer.freeze();
      assert.ok(outcome.ok);
      assert.equal(freezer.busy, true);
      assert.deepEqual(system.events, [
        'guard starts',
        'status: hooks none',
        'log is held',
        'status: hooks /h/a',
        'hook freeze /h/a 30',
        'status: hooks /h/a /h/b',
        'hook freeze /h/b 30',
        'guard freezes /img then /+/home for 60 s',
      ]);
      const before = system.events.length;
      assert.deepEqual((await freezer.thaw()).was, 'frozen');
      await freezer.over();
      assert.deepEqual(system.events.slice(before), [
        'guard thaws',
        'guard is let go of',
        'log is released',
        'hook thaw /h/b 30',
        'hook thaw /h/a 30',
        'status: idle',
      ]);
      assert.equal(freezer.busy, false);
      const [record] = system.status.freezes;
      assert.deepEqual(
        {
          ...record,
          volumes: record!.volumes.map((v) => `${v.mountPoint} ${v.outcome} ${v.frozenForMs}`),
          hooks: record!.hooks.length,
        },
        {
          by: 'host',
          at: '2026-11-23T00:00:01.000Z',
          result: 'thawed',
          preparedMs: 5,
          freezingMs: 2,
          volumes: ['/img frozen 40', '/ frozen 40', '/home frozen 40'],
          skipped: [],
          hooks: 4,
        },
      );
    },
  );

  it('logs nothing while it holds, and says afterwards what the hooks said', async () => {
    const system = new FakeSystem();
    system.hookFiles = HOOKS;
    system.hookOutcomes.set('freeze /h/a', { output: 'flushed\n', errors: '\x1b[31mred' });
    const freezer = system.freezer();
    await freezer.freeze();
    const before = [...system.lines];
    assert.ok(!before.some((line) => line.includes('flushed')));
    await freezer.thaw();
    await freezer.over();
    assert.ok(
      system.lines.some(
        (line) => line.includes('A freeze hook said') && line.includes('flushed \\\\x1b[31mred'),
      ),
    );
    assert.match(system.lines.at(-1)!, /^notice: Frozen and thawed/);
  });

  it(
    'answers a thaw before the hooks have run, and lets the next freeze wait for ' + 'them',
    async () => {
      const system = new FakeSystem();
      system.hookFiles = { files: ['/h/slow'], refused: [] };
      let go = (): void => {};
      system.onHook = (call) =>
        call === 'thaw /h/slow' ? new Promise((resolve) => (go = resolve)) : undefined;
      const freezer = system.freezer();
      await freezer.freeze();
      await freezer.thaw();
      system.guard = new FakeGuard((event) => system.note(event));
      const next = freezer.freeze();
      for (let i = 0; i < 20; i++) await Promise.resolve();
      assert.equal(system.events.filter((event) => event === 'guard starts').length, 1);
      go();
      assert.ok((await next).ok);
      assert.equal(system.events.filter((event) => event === 'guard starts').length, 2);
    },
  );

  it('is refused by a hook that fails; thaw hooks run for all that were started', async () => {
    const system = new FakeSystem();
    system.hookFiles = {
      files: ['/h/a', '/h/b', '/h/c'],
      refused: ['/h/x: others may write to it'],
    };
    system.hookOutcomes.set('freeze /h/b', { problem: 'exit status 3', errors: 'no database' });
    const freezer = system.freezer();
    const outcome = await freezer.freeze();
    assert.deepEqual(outcome, {
      ok: false,
      problem: 'the hook /h/b refused: exit status 3',
      busy: false,
    });
    await freezer.over();
    const hooks = system.events.filter((event) => event.startsWith('hook'));
    assert.deepEqual(hooks, [
      'hook freeze /h/a 30',
      'hook freeze /h/b 30',
      'hook thaw /h/b 30',
      'hook thaw /h/a 30',
    ]);
    assert.ok(!system.events.some((event) => event.startsWith('guard freezes')));
    assert.deepEqual(
      [system.status.current, system.status.freezes[0]?.result],
      [undefined, 'failed'],
    );
    assert.ok(system.lines.some((line) => line.includes('others may write to it')));
  });

  it('goes on without a hook that is optional', async () => {
    const system = new FakeSystem();
    system.hookFiles = HOOKS;
    system.hookOutcomes.set('freeze /h/a', { problem: 'did not end within 30 s' });
    assert.ok((await system.freezer({ optionalHooks: ['a'] }).freeze()).ok);
  });

  it('gives all hooks together ten minutes', async () => {
    const system = new FakeSystem();
    system.hookFiles = { files: ['/h/a', '/h/b', '/h/c'], refused: [] };
    system.onHook = (call) => {
      if (call.startsWith('freeze')) system.nowMs += 299_000;
    };
    const outcome = await system.freezer({ hookTimeoutMs: 300_000 }).freeze();
    assert.ok(outcome.ok);
    const times = system.events
      .filter((event) => event.startsWith('hook freeze'))
      .map((event) => event.split(' ')[3]);
    assert.deepEqual(times, ['300', '300', '2']);
  });

  it('fails when not all can be frozen, and thaw hooks run', async () => {
    const system = new FakeSystem();
    system.hookFiles = HOOKS;
    system.plans = planOf([[target('/'), target('/bad')]]);
    system.guard.report = { ok: false, problem: '/bad: EIO' };
    system.guard.results = [
      { frozenForMs: 3 },
      { outcome: 'failed', code: 'EIO', detail: 'ioctl failed' },
    ];
    const freezer = system.freezer();
    assert.deepEqual(await freezer.freeze(), { ok: false, problem: '/bad: EIO', busy: false });
    const record = await freezer.over();
    assert.deepEqual(
      record?.volumes.map(({ outcome, frozenForMs, problem }) => ({
        outcome,
        frozenForMs,
        problem,
      })),
      [
        { outcome: 'frozen', frozenForMs: 3, problem: undefined },
        { outcome: 'left', frozenForMs: undefined, problem: 'ioctl failed (EIO)' },
      ],
    );
    assert.deepEqual(system.events.slice(-3), [
      'hook thaw /h/b 30',
      'hook thaw /h/a 30',
      'status: idle',
    ]);
    assert.deepEqual(await freezer.thaw(), { was: 'not-frozen', early: undefined });
  });

  it('is refused while another one is under way, whose status stays', async () => {
    const system = new FakeSystem();
    const other = {
      by: 'command' as const,
      process: { pid: 7, startTicks: '7' },
      at: 'x',
      mountPoints: ['/'],
      hooks: [],
    };
    system.status = { service: 'vss', freezes: [], current: other };
    system.startError = Object.assign(new Error('busy'), { code: 'EBUSY' });
    const freezer = system.freezer();
    assert.deepEqual(await freezer.freeze(), {
      ok: false,
      problem: 'another freeze is under way',
      busy: true,
    });
    await freezer.over();
    assert.deepEqual(system.status.current, other);
    assert.equal(freezer.busy, false);
  });

  it('is refused while its own holds', async () => {
    const system = new FakeSystem();
    const freezer = system.freezer();
    await freezer.freeze();
    assert.deepEqual(await freezer.freeze(), {
      ok: false,
      problem: 'a freeze is under way',
      busy: true,
    });
    assert.deepEqual((await freezer.thaw()).was, 'frozen');
  });

  it('fails with words when mounts can not be read or no guard starts', async () => {
    const system = new FakeSystem();
    system.startError = new Error('no guard');
    assert.deepEqual(await system.freezer().freeze(), {
      ok: false,
      problem: 'no guard',
      busy: false,
    });
    system.plan = () => {
      throw new Error('no mountinfo');
    };
    assert.deepEqual(await system.freezer().freeze(), {
      ok: false,
      problem: 'no mountinfo',
      busy: false,
    });
  });

  it('is remembered, the newest first, until there are enough', async () => {
    const system = new FakeSystem();
    const freezer = system.freezer();
    for (let i = 0; i <= KEPT_RECORDS; i++) {
      system.guard = new FakeGuard((event) => system.note(event));
      system.nowMs = i * 1000;
      await freezer.freeze();
      await freezer.thaw();
    }
    await freezer.over();
    const times = system.status.freezes.map(({ at }) => at);
    assert.deepEqual(
      [times.length, times[0], times.at(-1)],
      [KEPT_RECORDS, '2026-11-23T00:00:20.000Z', '2026-11-23T00:00:01.000Z'],
    );
  });

  it('does without a status that can not be written', async () => {
    const system = new FakeSystem();
    system.statusError = new Error('ENOSPC');
    const freezer = system.freezer();
    assert.ok((await freezer.freeze()).ok);
    await freezer.thaw();
    await freezer.over();
    assert.ok(system.lines.some((line) => line.startsWith("error: The status can't be written")));
  });
});

describe('a guard', () => {
  it('that goes on trying to thaw keeps the process', async () => {
    const system = new FakeSystem();
    let end: (end: GuardEnd) => void = () => {};
    const { guard } = system;
    Object.assign(guard, { ended: new Promise<GuardEnd>((resolve) => (end = resolve)) });
    guard.thawReport = { complete: false, problem: 'no answer from /' };
    const freezer = system.freezer();
    await freezer.freeze();
    await freezer.thaw();
    await new Promise(setImmediate);
    assert.equal(system.status.freezes.length, 1);
    assert.equal(freezer.busy, true);
    end({});
    await new Promise(setImmediate);
    assert.equal(freezer.busy, false);
  });
});

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
