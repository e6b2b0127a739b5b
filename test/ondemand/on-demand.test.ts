/**
 * A daemon whose channel the service manager holds: registered once, started by requests, gone
 * between them.
 */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { after, describe, it, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { version } from '../../protocol/ic/version.ts';
import { WIRES } from '../../simulator/wire.ts';
import { buildHolder, missingHolder } from './holder.ts';
import { race } from './race.ts';
import { type OnDemandOptions, OnDemandStage } from './stage.ts';

const skip = missingHolder() ?? false;
const holder = skip ? '' : buildHolder({ after });

function stage(t: TestContext, options: Omit<OnDemandOptions, 'holder'>): OnDemandStage {
  const made = new OnDemandStage({ holder, ...options });
  t.after(() => made.close());
  return made;
}

for (const wire of WIRES) {
  describe(`on demand over ${wire}`, { skip, timeout: 600_000 }, () => {
    it('leaves when idle, and the next request finds it registered', async (t) => {
      const { host, holder, status } = bound(stage(t, { wire, idleExitMs: 50 }));
      await host.link.ready();
      await holder.asleep();
      assert.equal(status().state, 'left');
      for (let life = 2; life < 5; life++) {
        await host.set(0, 'life', String(life));
        assert.equal(holder.starts, life);
        await holder.asleep();
      }
      assert.deepEqual(
        (await host.enumerate(0)).map(({ key, value }) => [key, value]),
        [['life', { type: 'string', text: '4' }]],
      );
      assert.equal(host.link.readyCount, 1);
      assert.deepEqual(host.link.violations, []);
      assert.deepEqual(holder.failures, []);
    });

    it('stays as long as it may when told so', async (t) => {
      const { host, holder, status } = bound(stage(t, { wire, idleExitMs: 0 }));
      await host.set(0, 'a', 'b');
      while (status().lastRequestUptimeSecs === undefined) await sleep(50);
      assert.equal(holder.isRunning, true);
      assert.deepEqual([status().state, status().onDemand], ['serving', true]);
    });

    it('requests that race the exit are answered', async () => {
      const { wakeUps } = await race(wire, holder, 15);
      assert.ok(wakeUps >= 15);
    });

    it('restarted and killed, it goes on where it was', async (t) => {
      const { host, holder } = bound(stage(t, { wire, idleExitMs: 60_000 }));
      await host.set(0, 'a', '1');
      holder.restart();
      await holder.until(() => holder.starts === 2);
      assert.deepEqual(await host.get(0, 'a'), { type: 'string', text: '1' });
      holder.kill();
      await holder.until(() => holder.starts === 3);
      assert.deepEqual(await host.get(0, 'a'), { type: 'string', text: '1' });
      assert.equal(host.link.readyCount, 1);
      assert.deepEqual(host.link.violations, []);
    });

    it('the device goes while nobody runs: its holder sees it', async (t) => {
      const { host, holder } = bound(stage(t, { wire, idleExitMs: 50 }));
      await host.link.ready();
      await holder.asleep();
      host.link.hangUp();
      await holder.exited;
      assert.equal(holder.hungUp, true);
      assert.equal(holder.starts, 1);
    });

    it('the device goes while the daemon runs: it ends cleanly', async (t) => {
      const { host, holder } = bound(stage(t, { wire, idleExitMs: 60_000 }));
      await host.set(0, 'a', '1');
      host.link.hangUp();
      await holder.exited;
      assert.equal(holder.hungUp, true);
      assert.deepEqual(holder.failures, []);
    });
  });
}

describe('what was agreed on outlives the process', { skip, timeout: 600_000 }, () => {
  const offer = { framework: [version(3, 0)], message: [version(3, 0), version(1, 0)] };

  it('the status file tells it', async (t) => {
    const { host, holder, status } = bound(stage(t, { wire: 'unix-ring', idleExitMs: 50, offer }));
    await host.link.ready();
    await holder.asleep();
    const agreed = { via: 'vmbus', framework: version(3, 0), message: version(3, 0) };
    assert.deepEqual(status().peer, agreed);
    await host.set(0, 'a', '1');
    assert.deepEqual(status().peer, agreed);
  });

  for (const [what, spoil] of [
    ['no file', (file: string) => fs.rmSync(file)],
    ['a file of others', (file: string) => fs.chmodSync(file, 0o666)],
    ['no JSON', (file: string) => fs.writeFileSync(file, 'x')],
    [
      'versions nobody supports',
      (file: string) =>
        edit(file, { via: 'vmbus', framework: version(9, 9), message: version(9, 9) }),
    ],
    ['another kind of peer', (file: string) => edit(file, { via: 'hv_utils', versionText: '3.1' })],
    ['nonsense', (file: string) => edit(file, { via: 'vmbus', framework: 'x' })],
  ] as const) {
    it(`with ${what} the header of each message does`, async (t) => {
      const staged = stage(t, { wire: 'unix-ring', idleExitMs: 50, offer });
      const { host, holder } = staged;
      await host.link.ready();
      await holder.asleep();
      spoil(staged.statusFile);
      await host.set(0, 'a', '1');
      await holder.asleep();
      assert.deepEqual(await host.get(0, 'a'), { type: 'string', text: '1' });
      assert.equal(host.link.readyCount, 1);
    });
  }

  it('the host negotiates again whenever it likes', async (t) => {
    const { host, holder, status } = bound(stage(t, { wire: 'unix-ring', idleExitMs: 50, offer }));
    await host.link.ready();
    await holder.asleep();
    await host.ring!.negotiate({ framework: [version(3, 0)], message: [version(4, 0)] });
    await holder.asleep();
    assert.equal(holder.starts, 2);
    assert.deepEqual(status().peer, {
      via: 'vmbus',
      framework: version(3, 0),
      message: version(4, 0),
    });
    await host.set(0, 'a', '1');
  });

  it('over a char device the version the kernel told', async (t) => {
    const { host, holder, status } = bound(
      stage(t, { wire: 'unix', idleExitMs: 50, versionText: '9.9' }),
    );
    await host.link.ready();
    await holder.asleep();
    assert.deepEqual(status().peer, { via: 'hv_utils', versionText: '9.9' });
    assert.deepEqual(await host.get(2, 'IntegrationServicesVersion'), {
      type: 'string',
      text: '9.9',
    });
    assert.equal(holder.starts, 2);
  });
});

function edit(file: string, peer: unknown): void {
  fs.writeFileSync(file, JSON.stringify({ ...JSON.parse(fs.readFileSync(file, 'utf8')), peer }));
}

const bound = (made: OnDemandStage) => ({
  host: made.host,
  holder: made.holder,
  status: () => made.status(),
});
