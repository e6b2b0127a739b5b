/**
 * What packages for arm64 hold, run by user emulation: the addon in a Node.js of that kind against
 * the simulated host over both wires, and the ring. An emulated core orders memory as this
 * machine's does, so a missing barrier would not show.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { native } from '../../native/index.ts';
import { KvpPool } from '../../protocol/kvp/types.ts';
import { KvpHost } from '../../simulator/hosts/kvp-host.ts';
import { binFolder, DaemonProcess, Ground } from '../../simulator/stages/daemon.ts';
import { WIRES } from '../../simulator/wire.ts';
import { Compiler } from '../native/compiler.ts';
import { skipWithout } from './programs.ts';

const EMULATOR = ['qemu-aarch64', '-L', '/usr/aarch64-linux-gnu'] as const;
/** Plain JavaScript, without declarations. */
interface Packaging {
  buildNative(arch: string): string;
  fetchNode(arch: string): { readonly node: string };
}
const seed = String(Date.now() % 1_000_000);

const CROSS = 'aarch64-linux-gnu-g++';
// Debian's qemu-user and g++-aarch64-linux-gnu
const skip =
  process.arch !== 'x64'
    ? 'this machine builds for arm64 otherwise'
    : skipWithout(EMULATOR[0], CROSS);

describe('arm64', { skip }, () => {
  let folder: string;
  let node: string[];
  before(async () => {
    const packaging = (await import(
      path.join(import.meta.dirname, '../../packaging/native.mjs')
    )) as Packaging;
    folder = packaging.buildNative('arm64');
    node = [...EMULATOR, packaging.fetchNode('arm64').node];
  });

  for (const wire of WIRES) {
    it(`vmic-kvp answers a host over ${wire}`, async () => {
      const ground = new Ground();
      const host = new KvpHost(wire, { native, socketPath: ground.socketPath });
      const { configFile, poolFolder } = ground;
      const settings = ['--config', configFile, '--set', `kvp.pool_directory=${poolFolder}`];
      const daemon = await DaemonProcess.start({
        ground,
        transport: host.link.transport,
        command: [
          ...node,
          path.join(binFolder(), 'vmic-kvp'),
          ...settings,
          '--transport',
          host.link.transport,
        ],
        env: { VMIC_ADDON: path.join(folder, 'vmic.node') },
      });
      try {
        await host.link.ready();
        for (let n = 0; n < 200; n++)
          await host.set(KvpPool.external, `Key ${n}`, `Wert ${n}: schön, 日本語, 😀`);
        for (let n = 0; n < 200; n += 2)
          assert.equal(await host.delete(KvpPool.external, `Key ${n}`), true);
        const { value } =
          (await host.at(KvpPool.external, 99)) ?? assert.fail('no hundredth record');
        assert.deepEqual(value, { type: 'string', text: 'Wert 199: schön, 日本語, 😀' });
        assert.equal(await host.at(KvpPool.external, 100), undefined);
        assert.deepEqual(await host.get(KvpPool.auto, 'ProcessorArchitecture'), {
          type: 'string',
          text: 'aarch64',
        });
        assert.deepEqual(await daemon.stop(), { code: 0, signal: null });
      } finally {
        await daemon.stop();
        host.link.close();
        ground.dispose();
      }
    });
  }

  it('the guard starts, and finds nothing to thaw', () => {
    const ground = new Ground();
    const [emulator, ...args] = EMULATOR;
    const guard = path.join(folder, 'vmic-vss-guard');
    const ran = spawnSync(
      emulator,
      [...args, guard, '--thaw-recorded', path.join(ground.folder, 'record')],
      {
        encoding: 'utf8',
      },
    );
    ground.dispose();
    assert.equal(ran.status, 0, ran.stderr);
  });

  const compiler = new Compiler(CROSS, EMULATOR);
  after(() => compiler.remove());
  const RUNS = {
    ring: {
      tests: ['core_ring.cpp', 'core_ring_stress.cpp'],
      runs: [['unit'], ['fuzz', '20000', seed], ['stress', '200000', seed, 'neither']],
    },
    sink: { tests: ['core_sink.cpp'], runs: [['10000', seed]] },
  };
  for (const [name, { tests, runs }] of Object.entries(RUNS)) {
    describe(`the ${name} core`, () => {
      let program: string;
      before(() => {
        program = compiler.build(
          name,
          ['-O2'],
          [...tests.map((file) => `test/native/${file}`), `native/core/${name}.cpp`],
        );
      });
      for (const parameters of runs) {
        it(parameters.join(' '), () => {
          const ran = compiler.run(program, parameters);
          assert.equal(ran.status, 0, ran.output);
        });
      }
    });
  }
});
