/**
 * From the simulated host through the real daemon and its guard to real file systems, on loop
 * devices in a namespace of their own.
 */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { native } from '../../native/index.ts';
import { IcStatus } from '../../protocol/ic/status.ts';
import { Ask, VssStage, vssSettings } from '../../simulator/hosts/vss-host.ts';
import { script } from '../../simulator/scenes/scene.ts';
import { missingScratch, Scratch, type ScratchKind } from '../../simulator/stages/scratch.ts';
import { WIRES, type Wire } from '../../simulator/wire.ts';

interface Play {
  readonly stage: VssStage;
  readonly scratch: Scratch;
  /** Mount points of the scratch file systems that are frozen now. */
  frozen(): string[];
  /** The status of a request. */
  ask(request: (typeof Ask)[keyof typeof Ask]): Promise<number>;
}

/**
 * Prepares file systems, starts the daemon among them, plays, and sees that it ends well and leaves
 * nothing frozen.
 */
async function play(
  wire: Wire,
  kinds: readonly ScratchKind[],
  settings: (scratch: Scratch) => Readonly<Record<string, string | number | boolean>>,
  run: (play: Play) => Promise<void>,
): Promise<void> {
  const scratch = await Scratch.create({ kinds });
  const frozen = (): string[] =>
    scratch.fileSystems
      .map(({ mountPoint }) => mountPoint)
      .filter((mountPoint) => scratch.isFrozen(mountPoint));
  try {
    const stage = await VssStage.open(wire, {
      native,
      place: scratch,
      settings: (ground) => ({ ...vssSettings(ground, false), ...settings(scratch) }),
    });
    try {
      await run({
        stage,
        scratch,
        frozen,
        ask: async (request) => (await stage.ask(request)).status,
      });
      assert.deepEqual(stage.host.violations, []);
      assert.deepEqual(await stage.daemon.stop(), { code: 0, signal: null });
      assert.deepEqual(stage.daemon.noise, []);
    } finally {
      await stage.close();
    }
    assert.deepEqual(frozen(), []);
  } finally {
    await scratch.dispose();
  }
}

/**
 * A file system that can't be frozen: its disk has no room for what is in memory. Gives its mount
 * point.
 */
function addBroken(scratch: Scratch): string {
  const broken = path.join(scratch.folder, 'broken');
  scratch.run(
    'sh',
    '-ec',
    `mkdir "$1/small" "$1/broken"
    mount -t tmpfs -o size=3m small "$1/small"
    truncate -s 32M "$1/small/image"
    mkfs.ext4 -q -J size=1 "$1/small/image"
    mount -o loop "$1/small/image" "$1/broken"
    dd if=/dev/zero of="$1/broken/file" bs=1M count=8 2>/dev/null`,
    'sh',
    scratch.folder,
  );
  return broken;
}

const none = (): Readonly<Record<string, string>> => ({});
const lines = (file: string): string[] =>
  fs.existsSync(file) ? fs.readFileSync(file, 'utf8').trimEnd().split('\n') : [];

describe('real freezes by wish of a simulated host', { skip: missingScratch() ?? false }, () => {
  for (const wire of WIRES) {
    for (const count of [1, 20]) {
      it(`${count} ext4, over ${wire}: all are frozen, and all thawed, twice`, () =>
        play(wire, new Array(count).fill('ext4'), none, async ({ scratch, stage, frozen, ask }) => {
          const all = scratch.fileSystems.map(({ mountPoint }) => mountPoint);
          for (let round = 0; round < 2; round++) {
            assert.equal(await ask(Ask.freeze), IcStatus.ok);
            assert.deepEqual(frozen(), all);
            assert.equal(await ask(Ask.thaw), IcStatus.ok);
            assert.deepEqual(frozen(), []);
          }
          const done = await stage.daemon.log((line) => line.message === 'Frozen and thawed');
          assert.equal((done['fileSystems'] as unknown[]).length, count);
        }));
    }
  }

  for (const kind of ['xfs', 'btrfs'] as const) {
    it(`${kind} and ext4 together`, { skip: missingScratch([kind]) ?? false }, () =>
      play('unix', [kind, 'ext4'], none, async ({ scratch, frozen, ask }) => {
        assert.equal(await ask(Ask.freeze), IcStatus.ok);
        assert.deepEqual(
          frozen(),
          scratch.fileSystems.map(({ mountPoint }) => mountPoint),
        );
        assert.equal(await ask(Ask.thaw), IcStatus.ok);
      }),
    );
  }

  it(
    'hooks are called around it, in order, and in reverse order after; what they print is told ' +
      'after the thaw',
    () =>
      play('unix', ['ext4'], none, async ({ stage, scratch, ask }) => {
        const { folder } = stage.ground;
        const hooks = path.join(folder, 'vss.d');
        const calls = path.join(folder, 'calls');
        const [{ mountPoint }] = scratch.fileSystems as [Scratch['fileSystems'][number]];
        // Each says whether the file system can be written to
        const writable =
          `timeout -s KILL 1 sh -c 'echo x >${mountPoint}/probe' && echo "$0 $1 writable" ` +
          `>>${calls}`;
        for (const name of ['10-first', '20-second'])
          script(hooks, name, writable, `echo "$1 said by ${name}"`);
        assert.equal(await ask(Ask.freeze), IcStatus.ok);
        assert.deepEqual(
          stage.daemon.logs.filter((line) => line.message === 'A freeze hook said'),
          [],
          'nothing is logged while frozen',
        );
        assert.equal(await ask(Ask.thaw), IcStatus.ok);
        await stage.alive(
          stage.daemon.log(
            (line) => line['argument'] === 'thaw' && String(line['file']).endsWith('10-first'),
          ),
        );
        assert.deepEqual(
          lines(calls).map((line) => path.basename(line.replace(' writable', ''))),
          ['10-first freeze', '20-second freeze', '20-second thaw', '10-first thaw'],
        );
        assert.deepEqual(
          stage.daemon.logs
            .filter((line) => line.message === 'A freeze hook said')
            .map(({ said }) => said),
          [
            'freeze said by 10-first',
            'freeze said by 20-second',
            'thaw said by 20-second',
            'thaw said by 10-first',
          ],
        );
      }),
  );

  it("somebody else's freeze stays his", () =>
    play('unix', ['ext4', 'ext4'], none, async ({ scratch, frozen, ask }) => {
      const [his, ours] = scratch.fileSystems.map(({ mountPoint }) => mountPoint) as [
        string,
        string,
      ];
      scratch.run('fsfreeze', '-f', his);
      assert.equal(await ask(Ask.freeze), IcStatus.ok);
      assert.deepEqual(frozen(), [his, ours]);
      assert.equal(await ask(Ask.thaw), IcStatus.ok);
      assert.deepEqual(frozen(), [his]);
      scratch.run('fsfreeze', '-u', his);
    }));

  it('one that can not be frozen: the host is told, and all others are thawed', () =>
    play('unix', ['ext4', 'ext4'], none, async ({ scratch, stage, frozen, ask }) => {
      const broken = addBroken(scratch);
      assert.equal(await ask(Ask.freeze), IcStatus.fail);
      assert.deepEqual(frozen(), []);
      const said = await stage.daemon.log(
        (line) => line.message === 'The freeze failed; nothing is frozen',
      );
      assert.match(JSON.stringify(said), new RegExp(`${broken}.*(EIO|ENOSPC)`));
      scratch.run('umount', broken);
      assert.equal(await ask(Ask.freeze), IcStatus.ok);
      assert.equal(await ask(Ask.thaw), IcStatus.ok);
    }));

  it('one that can not be frozen, and is optional: the others are', () =>
    play(
      'unix',
      ['ext4', 'ext4'],
      ({ folder }) => ({ optional: path.join(folder, 'broken') }),
      async ({ scratch, frozen, ask }) => {
        const broken = addBroken(scratch);
        assert.equal(await ask(Ask.freeze), IcStatus.ok);
        assert.deepEqual(
          frozen(),
          scratch.fileSystems.map(({ mountPoint }) => mountPoint),
        );
        assert.equal(await ask(Ask.thaw), IcStatus.ok);
        scratch.run('umount', broken);
      },
    ));

  it('include and exclude lists', () =>
    play(
      'unix',
      ['ext4', 'ext4', 'ext4'],
      ({ folder }) => ({ include: `${folder}/0,${folder}/1`, exclude: `${folder}/1` }),
      async ({ scratch, frozen, ask }) => {
        assert.equal(await ask(Ask.freeze), IcStatus.ok);
        assert.deepEqual(frozen(), [`${scratch.folder}/0`]);
        assert.equal(await ask(Ask.thaw), IcStatus.ok);
      },
    ));

  it('a freeze holds while the host is slow, and is thawed when the daemon is told to stop', () =>
    play('unix-ring', ['ext4'], none, async ({ scratch, stage, frozen, ask }) => {
      assert.equal(await ask(Ask.freeze), IcStatus.ok);
      await new Promise((resolve) => setTimeout(resolve, 1000));
      assert.deepEqual(
        frozen(),
        scratch.fileSystems.map(({ mountPoint }) => mountPoint),
      );
      assert.deepEqual(await stage.daemon.stop(), { code: 0, signal: null });
      assert.deepEqual(frozen(), []);
    }));
});
