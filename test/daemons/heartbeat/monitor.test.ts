import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Health, SystemState } from '../../../daemons/heartbeat/health.ts';
import { watchHealth } from '../../../daemons/heartbeat/monitor.ts';
import type { HealthOptions, HealthPorts } from '../../../daemons/heartbeat/ports.ts';

const OPTIONS: HealthOptions = {
  units: [],
  intervalSecs: 5,
  checksDirectory: '/checks',
  checkIntervalSecs: 30,
  checkTimeoutSecs: 10,
};

/** A guest that does as it is told, for a number of waits of each length. */
function watch(ports: Partial<HealthPorts>, options: Partial<HealthOptions> = {}, waits = 1) {
  const reports: Health[] = [];
  const warnings: string[] = [];
  const waited: number[] = [];
  const all: HealthPorts = {
    systemState: async () => 'running',
    failedUnits: () => {
      throw new Error('no units are watched');
    },
    checks: async () => ({ files: [], refused: [] }),
    runCheck: () => {
      throw new Error('there are no checks');
    },
    wait: async (ms) => {
      waited.push(ms);
      return waited.filter((other) => other === ms).length < waits;
    },
    ...ports,
  };
  const done = watchHealth(
    all,
    { ...OPTIONS, ...options },
    (health) => reports.push(health),
    (text) => warnings.push(text),
  );
  return { done, reports, warnings, waited };
}

describe('watching the health', () => {
  it('asks for the system, again and again', async () => {
    const states: SystemState[] = ['starting', 'running', 'stopping'];
    const { done, reports, waited } = watch({ systemState: async () => states.shift()! }, {}, 3);
    await done;
    assert.deepEqual(
      reports.map(({ system }) => system).filter((system, i, all) => system !== all[i - 1]),
      ['starting', 'running', 'stopping'],
    );
    assert.deepEqual([...new Set(waited)].sort(), [30_000, 5000]);
  });

  it('asks for units that are named, but not where there is no systemd', async () => {
    const asked: (readonly string[])[] = [];
    const failedUnits = async (units: readonly string[]) => {
      asked.push(units);
      return ['a.service: failed'];
    };
    const { done, reports } = watch({ failedUnits }, { units: ['a.service'] });
    await done;
    assert.deepEqual(asked, [['a.service']]);
    assert.deepEqual(reports.at(-1)?.failedUnits, ['a.service: failed']);
    const without = watch(
      { systemState: async () => 'unknown', failedUnits },
      { units: ['a.service'] },
    );
    await without.done;
    assert.equal(asked.length, 1);
  });

  it('runs checks one at a time, and forgets those that succeed or go', async () => {
    let running = 0;
    const rounds = [['/checks/a', '/checks/b'], ['/checks/a', '/checks/b'], ['/checks/b'], []];
    const results = ['a broke', 'b broke', undefined, 'b broke', 'b broke'];
    const { done, reports } = watch(
      {
        checks: async () => ({ files: rounds.shift()!, refused: [] }),
        runCheck: async () => {
          assert.equal(++running, 1, 'one at a time');
          await new Promise((resolve) => setImmediate(resolve));
          running--;
          return results.shift();
        },
      },
      {},
      4,
    );
    await done;
    const told = reports.map(({ failedChecks }) => failedChecks.join());
    assert.deepEqual(
      told.filter((text, i) => text !== told[i - 1]),
      ['', 'a broke', 'a broke,b broke', 'b broke', ''],
    );
  });

  it('sees the system go down while a check hangs', async () => {
    let endCheck: () => void = () => {};
    const states: SystemState[] = ['running', 'stopping'];
    const { done, reports } = watch(
      {
        systemState: async () => states.shift()!,
        checks: async () => ({ files: ['/checks/a'], refused: [] }),
        runCheck: () =>
          new Promise((resolve) => {
            endCheck = () => resolve(undefined);
          }),
        wait: async () => states.length > 0,
      },
      {},
    );
    while (reports.at(-1)?.system !== 'stopping')
      await new Promise((resolve) => setImmediate(resolve));
    endCheck();
    await done;
  });

  it('says once why a check is not run', async () => {
    const { done, warnings } = watch(
      { checks: async () => ({ files: [], refused: ['/checks/a: others may write to it'] }) },
      {},
      3,
    );
    await done;
    assert.deepEqual(warnings, ['/checks/a: others may write to it']);
  });
});
