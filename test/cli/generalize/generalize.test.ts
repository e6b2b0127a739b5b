import assert from 'node:assert/strict';
import fs from 'node:fs';
import { describe, it } from 'node:test';
import { poolFileName } from '../../../daemons/kvp/pools/index.ts';
import { Ground } from '../../../simulator/stages/daemon.ts';
import { native, skip, vmic } from '../run.ts';

const RECORD = Buffer.alloc(2560, 'secret');

function withPools(
  play: (
    ground: Ground,
    run: (args: readonly string[], around?: Parameters<typeof vmic>[1]) => ReturnType<typeof vmic>,
  ) => Promise<void>,
) {
  return async () => {
    const ground = new Ground();
    for (const pool of [0, 1, 3]) fs.writeFileSync(ground.poolFile(pool), RECORD);
    fs.writeFileSync(ground.poolFile(2), '');
    fs.chmodSync(ground.poolFile(1), 0o600);
    try {
      await play(ground, (args, around = {}) =>
        vmic(['generalize', '--pool-directory', ground.poolFolder, ...args], {
          root: ground.folder,
          ...around,
        }),
      );
    } finally {
      ground.dispose();
    }
  };
}
const sizes = (ground: Ground) =>
  [0, 1, 2, 3].map((pool) => fs.statSync(ground.poolFile(pool)).size);

describe('vmic generalize', { skip }, () => {
  it(
    'empties the pools; files, inodes and modes stay',
    withPools(async (ground, run) => {
      const before = [0, 1, 3].map((pool) => fs.statSync(ground.poolFile(pool)));
      const ran = run(['--yes']);
      assert.equal(await ran.status, 0);
      assert.equal(
        ran.out,
        ['external', 'guest', 'auto-external']
          .map(
            (name, at) =>
              `emptied pool ${[0, 1, 3][at]} (${name}): 2560 bytes in ` +
              `${ground.poolFile([0, 1, 3][at]!)}\n`,
          )
          .join(''),
      );
      assert.deepEqual(sizes(ground), [0, 0, 0, 0]);
      const after = [0, 1, 3].map((pool) => fs.statSync(ground.poolFile(pool)));
      assert.deepEqual(
        after.map(({ ino, mode }) => [ino, mode]),
        before.map(({ ino, mode }) => [ino, mode]),
      );
      const again = run(['--yes']);
      assert.equal(await again.status, 0);
      assert.equal(again.out, 'Nothing is left to be emptied.\n');
    }),
  );

  it(
    'changes nothing in a dry run',
    withPools(async (ground, run) => {
      const ran = run(['--dry-run', '--json']);
      assert.equal(await ran.status, 0);
      assert.deepEqual(JSON.parse(ran.out), {
        dryRun: true,
        emptied: [0, 1, 3].map((pool) => ({ pool, path: ground.poolFile(pool), sizeBytes: 2560 })),
      });
      assert.deepEqual(sizes(ground), [2560, 2560, 0, 2560]);
    }),
  );

  it(
    'asks, and takes only yes for a yes',
    withPools(async (ground, run) => {
      const asked: string[] = [];
      const answer = (yes: boolean) => ({
        ask: async (question: string) => {
          asked.push(question);
          return yes;
        },
      });
      const no = run([], answer(false));
      assert.equal(await no.status, 1);
      assert.match(no.err, /pool 3 \(auto-external\): 2560 bytes/);
      assert.deepEqual(sizes(ground), [2560, 2560, 0, 2560]);
      assert.equal(await run([], answer(true)).status, 0);
      assert.deepEqual(sizes(ground), [0, 0, 0, 0]);
      assert.deepEqual(asked, ['Empty these for good?', 'Empty these for good?']);
    }),
  );

  it(
    'does nothing unasked where nobody can be asked',
    withPools(async (ground, run) => {
      const ran = run([]);
      assert.equal(await ran.status, 2);
      assert.match(ran.err, /say --yes/);
      assert.deepEqual(sizes(ground), [2560, 2560, 0, 2560]);
    }),
  );

  it(
    'gives up on a pool that another program keeps locked',
    withPools(async (ground, run) => {
      const fd = fs.openSync(ground.poolFile(0), 'r+');
      assert.equal(native!.tryLock(fd, 'exclusive'), true);
      const ran = run(['--yes'], { patience: { now: () => 0, wait: async () => false } });
      assert.equal(await ran.status, 5);
      assert.match(ran.err, /another program holds its lock/);
      fs.closeSync(fd);
      assert.deepEqual(sizes(ground), [2560, 2560, 0, 2560]);
    }),
  );

  it(
    'follows no link out of the folder, and says so when there is none',
    withPools(async (ground, run) => {
      const victim = `${ground.folder}/victim`;
      fs.writeFileSync(victim, 'data');
      fs.symlinkSync(victim, ground.poolFile(4));
      const ran = run(['--yes']);
      assert.equal(await ran.status, 6);
      assert.match(ran.err, new RegExp(`${poolFileName(4)} is no file`));
      assert.equal(fs.readFileSync(victim, 'utf8'), 'data');
      assert.deepEqual(sizes(ground), [2560, 2560, 0, 2560]);
    }),
  );
});

describe('vmic status and vmic doctor', () => {
  it('look at a machine without root and without the addon', async () => {
    const ground = new Ground();
    try {
      const around = {
        root: ground.folder,
        loadNative: () => {
          throw new Error('must not load the addon');
        },
      };
      const status = vmic(['status'], around);
      assert.equal(await status.status, 1);
      assert.equal(status.out, 'This is no Hyper-V guest: there is no VMBus.\n');
      const doctor = vmic(['doctor', '--json'], around);
      assert.equal(await doctor.status, 1);
      assert.equal(JSON.parse(doctor.out).findings[0].id, 'no-hyper-v');
      const explain = vmic(['doctor', '--explain', '-2147020577', '--json'], around);
      assert.equal(await explain.status, 0);
      assert.equal(JSON.parse(explain.out).code, '0x800710DF');
      assert.equal(await vmic(['doctor', '--explain', 'what'], around).status, 1);
    } finally {
      ground.dispose();
    }
  });
});
