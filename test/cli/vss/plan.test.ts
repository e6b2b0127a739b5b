import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Scene } from './scene.ts';

describe('vmic vss plan', () => {
  it('shows what would be frozen, what not and why, and the hooks', async () => {
    const scene = new Scene();
    scene.hook('10-db', 'exit 1');
    const run = scene.run('plan');
    assert.equal(await run.status, 0);
    assert.equal(
      run.out,
      [
        'Hooks, in this order before and backwards after:',
        `  ${scene.hooks}/10-db`,
        '',
        'Frozen, all at once:',
        '  /             ext4 on /dev/sda1 (8:1)',
        '  /data\\x1b[2J  xfs on /dev/sdb1 (8:17)',
        '',
        'Left alone:',
        '  /boot/efi     vfat: the kernel has no freeze for this kind of file system',
        '',
        '1 more are in memory or on other file systems (--json lists them).',
        '',
      ].join('\n'),
    );
  });

  it('shows another configuration, and warns of names that match nothing', async () => {
    const run = new Scene().run('plan', '--set', 'vss.exclude=/dtaa,xfs', '--json');
    assert.equal(await run.status, 0);
    const { stages, skipped, unmatched } = JSON.parse(run.out);
    assert.deepEqual([stages.length, stages[0].length, unmatched], [1, 1, ['/dtaa']]);
    assert.deepEqual(
      skipped.map(({ reason }: { reason: string }) => reason),
      ['excluded', 'no-freeze', 'no-device'],
    );
    const text = new Scene().run('plan', '--set', 'vss.exclude=/dtaa');
    await text.status;
    assert.match(text.err, /the configuration names \/dtaa, which matches nothing/);
  });

  it('refuses a configuration that is wrong', async () => {
    for (const args of [
      ['--set', 'vss.limit_secs=1'],
      ['--set', 'vss.nothing=1'],
      ['--config', '/nonexistent/x.toml'],
    ]) {
      const run = new Scene().run('plan', ...args);
      assert.equal(await run.status, 2, args.join(' '));
    }
  });
});
