import assert from 'node:assert/strict';
import fs from 'node:fs';
import { describe, it } from 'node:test';
import { native } from '../../native/index.ts';
import { KvpPool } from '../../protocol/kvp/types.ts';
import { badBehaviours } from '../../simulator/behaviours/bad.ts';
import { KvpHost } from '../../simulator/hosts/kvp-host.ts';
import { VmbusHost } from '../../simulator/hosts/vmbus-host.ts';
import { DaemonProcess } from '../../simulator/stages/daemon.ts';
import { Stage } from '../../simulator/stages/stage.ts';
import { HostError, WIRES, type Wire } from '../../simulator/wire.ts';

async function withStage(
  wire: Wire,
  play: (stage: Stage) => Promise<void>,
  daemonArgs: readonly string[] = [],
) {
  const stage = await Stage.open(wire, { native, daemonArgs });
  try {
    await play(stage);
  } finally {
    await stage.close();
  }
}

it('a host that negotiates again and again does not fill the log', () =>
  withStage('unix-ring', async ({ host, daemon }) => {
    assert.ok(host.link instanceof VmbusHost);
    for (let i = 0; i < 200; i++) await host.link.negotiate();
    assert.equal((await host.at(KvpPool.auto, 5))?.key, 'OSName');
    daemon.signal('SIGTERM');
    await daemon.exited;
    const connected = daemon.logs.filter(({ message }) => message === 'Connected');
    assert.ok(connected.length >= 1 && connected.length < 20, `${connected.length} lines`);
  }));

for (const wire of WIRES) {
  describe(`a daemon's life over ${wire}`, () => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      it(`ends with status 0 on ${signal}`, () =>
        withStage(wire, async ({ daemon }) => {
          daemon.signal(signal);
          assert.deepEqual(await daemon.exited, { code: 0, signal: null });
          assert.equal(daemon.logs.at(-1)?.message, 'Stopping');
        }));
    }

    it('ends with status 0 on SIGTERM while requests keep coming', () =>
      withStage(wire, async (stage) => {
        const asking = (async () => {
          for (;;) await stage.host.enumerate(KvpPool.auto);
        })();
        const lost = assert.rejects(asking, HostError);
        await stage.host.at(KvpPool.auto, 0);
        stage.daemon.signal('SIGTERM');
        assert.deepEqual(await stage.daemon.exited, { code: 0, signal: null });
        stage.host.close();
        await lost;
      }));

    it('waits for a device that is not there yet, and serves it when it comes', async () => {
      const stage = Stage.prepare(wire, { native });
      stage.host.close();
      let late: KvpHost | undefined;
      const daemon = await DaemonProcess.start({
        ground: stage.ground,
        transport: stage.host.link.transport,
      });
      try {
        await daemon.log((line) => line.message.startsWith('Waiting'));
        fs.rmSync(stage.ground.socketPath, { force: true });
        late = new KvpHost(wire, { native, socketPath: stage.ground.socketPath });
        await late.link.ready();
        assert.equal((await late.at(KvpPool.auto, 5))?.key, 'OSName');
      } finally {
        await daemon.stop();
        late?.close();
        await stage.close();
      }
    });

    it('comes back when the host has gone for a while, with the same pools', () =>
      withStage(wire, async (stage) => {
        await stage.host.set(KvpPool.external, 'kept', 'value');
        stage.host.close();
        fs.rmSync(stage.ground.socketPath, { force: true });
        await stage.daemon.log((line) => line.message.includes('went away'));
        const again = new KvpHost(wire, { native, socketPath: stage.ground.socketPath });
        try {
          await stage.alive(again.link.ready());
          assert.deepEqual(await again.enumerate(KvpPool.external), [
            { key: 'kept', value: { type: 'string', text: 'value' } },
          ]);
        } finally {
          again.close();
        }
      }));

    it('leaves the first daemon its device when a second one opens it', () =>
      withStage(wire, async (stage) => {
        const { ground, host } = stage;
        const second = await DaemonProcess.start({ ground, transport: host.link.transport });
        try {
          const refused = () => (host.utils ?? host.ring)!.refusedCount;
          await stage.alive(
            (async () => {
              while (refused() === 0) await new Promise((resolve) => setTimeout(resolve, 10));
            })(),
          );
          assert.equal((await host.at(KvpPool.auto, 5))?.key, 'OSName');
          assert.equal(host.link.readyCount, 1);
          assert.equal(second.exit, undefined, 'the second one waits for its turn');
          // Its turn comes
          const next = host.link.nextReady();
          await stage.daemon.stop();
          await next;
          assert.equal((await host.at(KvpPool.auto, 5))?.key, 'OSName');
        } finally {
          assert.deepEqual(await second.stop(), { code: 0, signal: null });
        }
      }));

    it('logs a flood of malformed requests a few times, not 2,000 times', () =>
      withStage(wire, async (stage) => {
        const flood = badBehaviours.find(({ name }) => name === 'flood-malformed')!;
        const say = (): void => {};
        await stage.play(flood, {
          say,
          pause: async () => {},
          signal: new AbortController().signal,
        });
        const warnings = stage.daemon.logs.filter(
          (line) => line.message === 'Refused a malformed request',
        );
        assert.ok(warnings.length > 0, 'it is logged');
        assert.ok(warnings.length <= 20, `${warnings.length} lines for one flood`);
      }));

    it('keeps what the host writes in files that others can read', () =>
      withStage(wire, async ({ host, ground }) => {
        await host.set(KvpPool.autoExternal, 'HostName', 'hyperv-01');
        const file = fs.readFileSync(ground.poolFile(KvpPool.autoExternal));
        assert.equal(file.length, 2560);
        assert.equal(file.subarray(0, 9).toString(), 'HostName\0');
        assert.equal(file.subarray(512, 522).toString(), 'hyperv-01\0');
        assert.equal(
          file.subarray(522).every((byte) => byte === 0),
          true,
        );
        assert.equal(fs.statSync(ground.poolFile(KvpPool.autoExternal)).mode & 0o777, 0o644);
      }));
  });
}

describe('a daemon behind hv_utils', () => {
  it('answers a request that the kernel gave up on by opening the device anew', () =>
    withStage('unix', async ({ host }) => {
      // The kernel forgets the transaction while the answer is on its way: a real device would
      // refuse it with EINVAL
      const again = host.link.nextReady();
      const lost = host.at(KvpPool.auto, 0);
      await new Promise((resolve) => setImmediate(resolve));
      host.utils!.suspend();
      await assert.rejects(lost, (error) => error instanceof HostError && error.code === 'dropped');
      await again;
      assert.equal((await host.at(KvpPool.auto, 0))?.key, 'FullyQualifiedDomainName');
    }));
});
