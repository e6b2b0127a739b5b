import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
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
