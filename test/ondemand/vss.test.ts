/**
 * VSS on demand: a process only while something is frozen, or a request waits. Nothing of this
 * machine is frozen: the daemon pretends.
 */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, describe, it, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { readStatus, type VssStatus } from '../../daemons/vss/freeze/status.ts';
import { IcStatus } from '../../protocol/ic/status.ts';
import type { VssReply, VssRequest } from '../../protocol/vss/types.ts';
import { TRAFFIC_INTERVAL_MS } from '../../runtime/status/status.ts';
import { Ask } from '../../simulator/hosts/vss-host.ts';
import { type ServiceHost, WIRES, type Wire } from '../../simulator/wire.ts';
import { buildHolder, missingHolder } from './holder.ts';
import { HeldStage, vssScenery } from './stage.ts';

const skip = missingHolder() ?? false;
const holder = skip ? '' : buildHolder({ after });
const IDLE_MS = 50;

class Stage extends HeldStage<ServiceHost<VssRequest, VssReply>> {
  constructor(t: TestContext, wire: Wire, settings: Readonly<Record<string, number>> = {}) {
    super({ wire, holder, idleExitMs: IDLE_MS }, vssScenery(wire, settings));
    t.after(() => this.close());
  }

  /** A hook that writes down its calls, the thaw after a while. */
  hook(thawSecs = 0): void {
    const folder = path.join(this.ground.folder, 'vss.d');
    fs.mkdirSync(folder);
    const script =
      `#!/bin/sh\ntest "$1" = freeze || sleep ${thawSecs}\necho "$1" ` + `>>${this.#calls}\n`;
    fs.writeFileSync(path.join(folder, '10-hook'), script, { mode: 0o755 });
  }

  get #calls(): string {
    return path.join(this.ground.folder, 'calls');
  }

  calls(): string[] {
    return fs.existsSync(this.#calls)
      ? fs.readFileSync(this.#calls, 'utf8').trimEnd().split('\n')
      : [];
  }

  async ask(request: VssRequest): Promise<number> {
    return (await this.host.request(request)).status;
  }

  freezes(): VssStatus['freezes'] {
    return readStatus(path.join(this.ground.folder, 'status.json'))?.freezes ?? [];
  }
}

for (const wire of WIRES) {
  describe(`VSS on demand over ${wire}`, { skip, timeout: 600_000 }, () => {
    it(
      'a freeze wakes it; it stays while frozen and until all is cleared up, and ' + 'leaves',
      async (t) => {
        const stage = new Stage(t, wire);
        stage.hook(10 * (IDLE_MS / 1000));
        const { host, holder } = stage;
        await host.ready();
        await holder.asleep();
        assert.equal(await stage.ask(Ask.freeze), IcStatus.ok);
        assert.equal(holder.starts, 2);
        const told = fs.statSync(stage.statusFile).mtimeMs;
        await sleep(TRAFFIC_INTERVAL_MS + 10 * IDLE_MS);
        assert.deepEqual([holder.starts, holder.isRunning], [2, true]);
        assert.equal(fs.statSync(stage.statusFile).mtimeMs, told, 'nothing is written meanwhile');
        assert.equal(await stage.ask(Ask.thaw), IcStatus.ok);
        assert.equal(holder.starts, 2);
        assert.deepEqual(stage.calls(), ['freeze']);
        await holder.asleep();
        assert.deepEqual(stage.calls(), ['freeze', 'thaw']);
        assert.deepEqual(
          stage.freezes().map(({ result }) => result),
          ['thawed'],
        );
        assert.equal(stage.status().state, 'left');
        assert.equal(await stage.ask(Ask.checkHotBackup), IcStatus.ok);
        assert.equal(holder.starts, 3);
        assert.deepEqual([host.violations, host.readyCount, holder.failures], [[], 1, []]);
      },
    );

    it('backups that race the exit are made', async (t) => {
      const stage = new Stage(t, wire);
      const { host, holder } = stage;
      await host.ready();
      let backups = 0;
      for (let wakeUps = 0; wakeUps < 8; wakeUps = holder.starts - 1) {
        await sleep(Math.random() * 4 * IDLE_MS);
        assert.equal(await stage.ask(Ask.freeze), IcStatus.ok);
        const { starts } = holder;
        await sleep(Math.random() * 4 * IDLE_MS);
        assert.equal(await stage.ask(Ask.thaw), IcStatus.ok);
        assert.equal(holder.starts, starts, 'one process froze and thawed');
        backups++;
      }
      await holder.asleep();
      const freezes = stage.freezes();
      assert.ok(
        freezes.length === Math.min(backups, 20) &&
          freezes.every(({ result }) => result === 'thawed'),
      );
      assert.deepEqual([host.violations, host.readyCount, holder.failures], [[], 1, []]);
    });

    it('killed while frozen: the next one clears up, and the host is told, once', async (t) => {
      const stage = new Stage(t, wire);
      stage.hook();
      const { holder } = stage;
      assert.equal(await stage.ask(Ask.freeze), IcStatus.ok);
      const { starts } = holder;
      holder.kill();
      await holder.until(() => holder.starts > starts);
      await holder.asleep();
      assert.deepEqual(stage.calls(), ['freeze', 'thaw']);
      assert.notEqual(await stage.ask(Ask.thaw), IcStatus.ok);
      await holder.asleep();
      assert.equal(await stage.ask(Ask.thaw), IcStatus.ok);
      assert.equal(await stage.ask(Ask.freeze), IcStatus.ok);
      assert.equal(await stage.ask(Ask.thaw), IcStatus.ok);
    });
  });
}

describe('VSS on demand, and a host that falls silent', { skip, timeout: 600_000 }, () => {
  it('thaws by the limit and leaves; the thaw that comes too late is told, once', async (t) => {
    const stage = new Stage(t, 'unix', { limit_secs: 5 });
    const { holder } = stage;
    await stage.host.ready();
    await holder.asleep();
    assert.equal(await stage.ask(Ask.freeze), IcStatus.ok);
    await holder.asleep();
    assert.equal(stage.freezes()[0]?.result, 'early');
    const { starts } = holder;
    assert.notEqual(await stage.ask(Ask.thaw), IcStatus.ok);
    assert.equal(holder.starts, starts + 1);
    await holder.asleep();
    // hv_utils makes one up before each suspension
    assert.equal(await stage.ask(Ask.thaw), IcStatus.ok);
    assert.deepEqual(holder.failures, []);
  });
});
