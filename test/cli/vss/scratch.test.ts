/** `vmic vss` on real file systems, in a mount namespace that has no others. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { readStatus } from '../../../daemons/vss/freeze/status.ts';
import { missingScratch, Scratch } from '../../../simulator/stages/scratch.ts';

const main = path.join(import.meta.dirname, '../../../cli/main.ts');
const skip = missingScratch() ?? false;

describe('vmic vss on scratch file systems', { skip, timeout: 600_000 }, () => {
  let scratch: Scratch;
  let settings: string[];
  let statusFile: string;
  before(async () => {
    scratch = await Scratch.create({ kinds: ['ext4', 'ext4'] });
    statusFile = path.join(scratch.shared, 'status.json');
    const hooks = path.join(scratch.shared, 'vss.d');
    fs.mkdirSync(hooks);
    fs.writeFileSync(
      path.join(hooks, '10-note'),
      `#!/bin/sh\necho "$1" >> ${scratch.shared}/calls\n`,
      { mode: 0o755 },
    );
    const keys = {
      status_file: statusFile,
      record_file: path.join(scratch.shared, 'record'),
      hooks_directories: hooks,
    };
    settings = Object.entries(keys).flatMap(([key, value]) => ['--set', `vss.${key}=${value}`]);
  });
  after(() => scratch.dispose());

  function vmic(...args: string[]): {
    child: ChildProcess;
    done: Promise<{ status: number | null; out: string }>;
  } {
    const [enter, ...rest] = scratch.enter([
      process.execPath,
      '--import',
      'tsx',
      main,
      'vss',
      ...args,
      ...settings,
    ]);
    const child = spawn(enter, rest, { stdio: ['ignore', 'pipe', 'inherit'] });
    let out = '';
    child.stdout.on('data', (chunk) => {
      out += chunk;
    });
    return { child, done: once(child, 'close').then(([status]) => ({ status, out })) };
  }

  const mountPoints = (): string[] => scratch.fileSystems.map(({ mountPoint }) => mountPoint);
  const areFrozen = (): boolean[] =>
    mountPoints().map((mountPoint) => scratch.isFrozen(mountPoint));
  const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
  /**
   * Not asked by freezing, which whoever is about to freeze would find done: a write waits. It goes
   * on after the thaw.
   */
  async function frozen(): Promise<void> {
    for (;;) {
      const [enter, ...rest] = scratch.enter(['touch', `${mountPoints()[1]}/x`]);
      const written = once(spawn(enter, rest), 'exit').then(() => true);
      if (!(await Promise.race([written, pause(500).then(() => false)]))) return;
    }
  }
  async function thawed(): Promise<void> {
    while (areFrozen().includes(true)) await pause(20);
  }

  it('plans to freeze these and nothing else', async () => {
    const { status, out } = await vmic('plan', '--json').done;
    assert.equal(status, 0);
    const { stages } = JSON.parse(out);
    assert.deepEqual(
      stages
        .flat()
        .map((one: { mountPoint: string; deviceNumber: string }) => [
          one.mountPoint,
          one.deviceNumber,
        ]),
      scratch.fileSystems.map(({ mountPoint, deviceNumber }) => [mountPoint, deviceNumber]),
    );
  });

  it('freezes them for as long as it was told, and not longer', async () => {
    const { status, out } = await vmic('freeze', '--for', '1s', '--yes', '--json').done;
    assert.equal(status, 0, out);
    const record = JSON.parse(out);
    assert.deepEqual(
      record.volumes.map(({ mountPoint, outcome }: { mountPoint: string; outcome: string }) => [
        mountPoint,
        outcome,
      ]),
      mountPoints().map((mountPoint) => [mountPoint, 'frozen']),
    );
    assert.ok(
      record.volumes.every(({ frozenForMs }: { frozenForMs: number }) => frozenForMs >= 1000),
    );
    assert.deepEqual(areFrozen(), [false, false]);
    assert.equal(fs.readFileSync(path.join(scratch.shared, 'calls'), 'utf8'), 'freeze\nthaw\n');
  });

  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    it(`leaves nothing frozen when it ends by ${signal}`, async () => {
      const { child, done } = vmic('freeze', '--for', '10m', '--yes', '--json');
      await frozen();
      child.kill(signal);
      const { status } = await done;
      assert.equal(status, signal === 'SIGTERM' ? 1 : null);
      await thawed();
      const later = await vmic('thaw').done;
      assert.equal(later.status, 0);
      assert.equal(readStatus(statusFile)?.current, undefined);
      assert.equal(
        readStatus(statusFile)?.freezes[0]?.result,
        signal === 'SIGTERM' ? 'early' : 'interrupted',
      );
    });
  }

  it('is ended by vmic vss thaw, and refuses a second freeze until then', async () => {
    const { done } = vmic('freeze', '--for', '10m', '--yes', '--json');
    await frozen();
    assert.equal((await vmic('freeze', '--for', '1s', '--yes').done).status, 5);
    assert.equal((await vmic('thaw').done).status, 0);
    const { status, out } = await done;
    assert.equal(status, 1);
    assert.match(JSON.parse(out).problem, /the guard was told to stop/);
    await thawed();
  });

  it('leaves frozen what somebody else had frozen before', async () => {
    const [first, second] = mountPoints() as [string, string];
    scratch.run('fsfreeze', '-f', first);
    const { status, out } = await vmic('freeze', '--for', '100ms', '--yes', '--json').done;
    assert.equal(status, 0, out);
    assert.deepEqual(
      JSON.parse(out).volumes.map(({ outcome }: { outcome: string }) => outcome),
      ['foreign', 'frozen'],
    );
    assert.deepEqual([scratch.isFrozen(first), scratch.isFrozen(second)], [true, false]);
    scratch.run('fsfreeze', '-u', first);
  });
});
