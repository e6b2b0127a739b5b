/** File copy on demand: a process only while a file is copied, or a request waits. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { after, describe, it, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { readStatus } from '../../daemons/fcopy/status.ts';
import {
  type FcopyReply,
  type FcopyRequest,
  MAX_FRAGMENT_BYTES,
} from '../../protocol/fcopy/messages.ts';
import { IcStatus } from '../../protocol/ic/status.ts';
import { type Copy, dataOf, messagesOf, startOf } from '../../simulator/hosts/fcopy-host.ts';
import { type ServiceHost, WIRES, type Wire } from '../../simulator/wire.ts';
import { buildHolder, missingHolder } from './holder.ts';
import { fcopyScenery, HeldStage } from './stage.ts';

const skip = missingHolder() ?? false;
const holder = skip ? '' : buildHolder({ after });
const IDLE_MS = 50;
const OK = IcStatus.ok;

class Stage extends HeldStage<ServiceHost<FcopyRequest, FcopyReply>> {
  readonly guest: string;

  constructor(t: TestContext, wire: Wire, settings: Readonly<Record<string, number>> = {}) {
    super({ wire, holder, idleExitMs: IDLE_MS }, fcopyScenery(wire, settings));
    this.guest = path.join(this.ground.folder, 'guest');
    fs.mkdirSync(this.guest);
    t.after(() => this.close());
  }

  copyOf(fileName: string, parts: number): Copy {
    return {
      fileName,
      path: `${this.guest}/`,
      content: randomBytes(parts * MAX_FRAGMENT_BYTES - 1),
    };
  }

  async ask(request: FcopyRequest): Promise<number> {
    return (await this.host.request(request)).status;
  }

  arrived({ fileName, content }: Copy): void {
    assert.ok(fs.readFileSync(path.join(this.guest, fileName)).equals(content), fileName);
  }

  results(): string[] {
    const status = readStatus(path.join(this.ground.folder, 'fcopy.json'));
    return status?.last.map(({ result }) => result) ?? [];
  }
}

for (const wire of WIRES) {
  describe(`file copy on demand over ${wire}`, { skip, timeout: 600_000 }, () => {
    it('a copy wakes it; it stays until the file is whole, and leaves', async (t) => {
      const stage = new Stage(t, wire);
      const { host, holder } = stage;
      await host.ready();
      await holder.asleep();
      for (let life = 2; life < 4; life++) {
        const copy = stage.copyOf(`file ${life}`, 3);
        for (const request of messagesOf(copy)) {
          assert.equal(await stage.ask(request), OK);
          if (request.operation !== 'complete') await sleep(6 * IDLE_MS);
          assert.equal(holder.starts, life);
        }
        stage.arrived(copy);
        await holder.asleep();
        assert.equal(stage.status().state, 'left');
        assert.notEqual(stage.status().lastRequestUptimeSecs, undefined);
      }
      // Of both lives
      assert.deepEqual(stage.results(), ['copied', 'copied']);
      assert.deepEqual([host.violations, host.readyCount, holder.failures], [[], 1, []]);
    });

    it('a host that falls silent: given up at the limit, and then it leaves', async (t) => {
      const stage = new Stage(t, wire, { silence_secs: 5 });
      const { holder } = stage;
      const copy = stage.copyOf('half', 2);
      assert.equal(await stage.ask(startOf(copy)), OK);
      assert.equal(await stage.ask(dataOf(copy.content, 0)), OK);
      await holder.asleep();
      assert.deepEqual(fs.readdirSync(stage.guest), []);
      assert.deepEqual(stage.results(), ['silent']);
      assert.notEqual(
        await stage.ask(dataOf(copy.content, MAX_FRAGMENT_BYTES)),
        OK,
        'nobody knows of it any more',
      );
      for (const request of messagesOf(copy)) assert.equal(await stage.ask(request), OK);
      stage.arrived(copy);
      assert.deepEqual(holder.failures, []);
    });

    it(
      'killed in the middle of a file: nothing is left of it, and the next one is ' + 'taken',
      async (t) => {
        const stage = new Stage(t, wire);
        const { host, holder } = stage;
        const copy = stage.copyOf('file', 2);
        assert.equal(await stage.ask(startOf(copy)), OK);
        assert.equal(await stage.ask(dataOf(copy.content, 0)), OK);
        const { starts } = holder;
        holder.kill();
        await holder.until(() => holder.starts > starts);
        assert.notEqual(await stage.ask(dataOf(copy.content, MAX_FRAGMENT_BYTES)), OK);
        assert.deepEqual(fs.readdirSync(stage.guest), []);
        for (const request of messagesOf(copy)) assert.equal(await stage.ask(request), OK);
        stage.arrived(copy);
        assert.equal(host.readyCount, 1);
      },
    );

    it('copies that race the exit arrive', async (t) => {
      const stage = new Stage(t, wire);
      const { host, holder } = stage;
      await host.ready();
      for (let copies = 0; holder.starts <= 10; copies++) {
        await sleep(Math.random() * 4 * IDLE_MS);
        const copy = stage.copyOf(`file ${copies}`, 1 + (copies % 3));
        const [first, ...others] = messagesOf(copy);
        assert.equal(await stage.ask(first!), OK);
        const { starts } = holder;
        for (const request of others) {
          await sleep(Math.random() * 2 * IDLE_MS);
          assert.equal(await stage.ask(request), OK);
        }
        assert.equal(holder.starts, starts, 'one process took the whole file');
        stage.arrived(copy);
      }
      assert.deepEqual([host.violations, host.readyCount, holder.failures], [[], 1, []]);
    });
  });
}
