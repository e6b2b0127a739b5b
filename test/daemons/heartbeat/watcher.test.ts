import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { type Health, NOTHING_KNOWN } from '../../../daemons/heartbeat/health.ts';
import type { HealthPorts } from '../../../daemons/heartbeat/ports.ts';
import { startWatcher } from '../../../daemons/heartbeat/watcher.ts';
import { levels } from '../../../runtime/log.ts';

const OPTIONS = {
  units: [],
  intervalSecs: 5,
  checksDirectory: '/checks',
  checkIntervalSecs: 30,
  checkTimeoutSecs: 10,
};

function start(t: TestContext, ports: Partial<HealthPorts>) {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const health: Health[] = [];
  const lines: string[] = [];
  const log = levels((severity, message, fields) =>
    lines.push(`${severity}: ${message} ${JSON.stringify(fields)}`),
  );
  let asked = 0;
  const system = {
    systemState: async () => {
      asked += 1;
      return 'running' as const;
    },
    failedUnits: () => assert.fail('no units are watched'),
    checks: async () => ({ files: [], refused: [] }),
    runCheck: () => assert.fail('there are no checks'),
    ...ports,
  };
  const watcher = startWatcher(system, OPTIONS, log, (one) => health.push(one));
  t.after(() => watcher.close());
  return { health, lines, watcher, asked: () => asked };
}

/** What is due happens. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

const NEVER = new Promise<never>(() => {});

describe('the watcher', () => {
  it('tells what is found, again and again, and why a check is not run', async (t) => {
    const { health, lines, asked } = start(t, {
      checks: async () => ({ files: [], refused: ['a reason'] }),
    });
    await settle();
    assert.equal(health.at(-1)?.system, 'running');
    assert.deepEqual(lines, ['warning: A check is not run {"why":"a reason"}']);
    assert.equal(asked(), 1);
    t.mock.timers.tick(5000);
    await settle();
    assert.equal(asked(), 2);
  });

  it('believes nothing any more when nothing is found out for long', async (t) => {
    const { health, lines } = start(t, { systemState: () => NEVER, checks: () => NEVER });
    t.mock.timers.tick(34_999);
    await settle();
    assert.deepEqual(health, []);
    t.mock.timers.tick(1);
    assert.deepEqual(health, [NOTHING_KNOWN]);
    assert.match(lines[0] ?? '', /^warning: Nothing was found out/);
  });

  it('is not put off while something is found out', async (t) => {
    const { health } = start(t, {});
    for (let secs = 0; secs < 120; secs += 5) {
      await settle();
      t.mock.timers.tick(5000);
    }
    assert.ok(!health.slice(1).includes(NOTHING_KNOWN));
  });

  it('begins again, after a while, when it failed', async (t) => {
    let fails = true;
    const { health, lines } = start(t, {
      systemState: async () => {
        if (fails) throw new Error('broken');
        return 'running';
      },
    });
    await settle();
    assert.equal(health.at(-1), NOTHING_KNOWN);
    assert.match(lines[0] ?? '', /^error: Watching the guest's health failed/);
    fails = false;
    const reports = health.length;
    t.mock.timers.tick(30_000);
    await settle();
    assert.equal(health.length, reports, 'what was not hit by the error says nothing either');
    t.mock.timers.tick(30_000);
    await settle();
    assert.equal(health.at(-1)?.system, 'running');
    assert.equal(lines.filter((line) => line.startsWith('error')).length, 1);
  });

  it('says and asks nothing once it is closed', async (t) => {
    const { health, watcher, asked } = start(t, {});
    watcher.close();
    const before = health.length;
    await settle();
    t.mock.timers.tick(600_000);
    await settle();
    assert.deepEqual([health.length, asked()], [before, 1]);
  });
});
