import assert from 'node:assert/strict';
import path from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { pathToFileURL } from 'node:url';
import { type Health, NOTHING_KNOWN } from '../../daemons/heartbeat/health.ts';
import { startWatcher } from '../../daemons/heartbeat/watcher.ts';
import { levels } from '../../daemons/runtime/log.ts';

const file = pathToFileURL(path.join(import.meta.dirname, 'workers.cjs'));

function start(t: TestContext, part: string) {
  const health: Health[] = [];
  const lines: string[] = [];
  const log = levels((severity, message, fields) => lines.push(`${severity}: ${message} ${JSON.stringify(fields)}`));
  const options = { units: [], intervalSecs: 5, checksDirectory: part, checkIntervalSecs: 30, checkTimeoutSecs: 10 };
  const watcher = startWatcher(file, options, log, (one) => health.push(one));
  t.after(() => watcher.close());
  return { health, lines };
}

async function until(fits: () => boolean): Promise<void> {
  while (!fits()) await new Promise((resolve) => setImmediate(resolve));
}

describe('the watching thread', () => {
  it('passes on what it finds, and why a check is not run', async (t) => {
    const { health } = start(t, 'talks');
    await until(() => health.length > 0);
    assert.equal(health[0]?.system, 'running');
    const { lines } = start(t, 'warns');
    await until(() => lines.length > 0);
    assert.match(lines[0] ?? '', /^warning: A check is not run/);
  });

  it('is not believed any more when it says nothing for long', (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const { health, lines } = start(t, 'silent');
    t.mock.timers.tick(34_999);
    assert.deepEqual(health, []);
    t.mock.timers.tick(1);
    assert.deepEqual(health, [NOTHING_KNOWN]);
    assert.match(lines[0] ?? '', /^warning: Nothing was found out/);
  });

  it('is started again, after a while, when it failed', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const { health, lines } = start(t, 'throws');
    const failures = () => lines.filter((line) => /^error: Watching the guest's health failed/.test(line)).length;
    await until(() => health.length === 1);
    assert.deepEqual([health[0], failures()], [NOTHING_KNOWN, 1]);
    t.mock.timers.tick(60_000);
    await until(() => failures() === 2);
  });
});
