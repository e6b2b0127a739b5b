import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseDuration } from '../../../cli/vss/options.ts';
import { readStatus } from '../../../daemons/vss/freeze/status.ts';
import { Scene } from './scene.ts';

describe('vmic vss freeze', () => {
  it('freezes for that long, thaws, and tells', async () => {
    const scene = new Scene();
    scene.hook('10-db', 'echo "said $1"');
    const run = scene.run('freeze', '--for', '50ms', '--yes');
    assert.equal(await run.status, 0, run.err);
    assert.deepEqual(scene.events.slice(0, 2), [
      'guard freezes /+/data\x1b[2J for 6 s',
      'guard thaws',
    ]);
    assert.match(
      run.out,
      /^Freezing for 0\.05 s; Ctrl-C thaws\.\n\S+ {2}for a command: frozen and thawed\n/,
    );
    assert.match(
      run.out,
      /\n {2}\/ \(ext4\): frozen for 40 ms\n.*\n {2}left alone: \/boot\/efi \(no-freeze\)\n/,
    );
    assert.match(run.out, /hook .*10-db freeze: .*\n.*10-db thaw: /);
    assert.equal(readStatus(scene.statusFile)?.freezes[0]?.by, 'command');
  });

  it('asks first, and takes no for an answer', async () => {
    const scene = new Scene();
    scene.answer = false;
    const run = scene.run('freeze', '--for', '1s');
    assert.equal(await run.status, 1);
    assert.match(scene.events.join(), /waits for 1 s.*Freeze\?$/);
    assert.match(run.out, /^Frozen, all at once:/);
    scene.answer = true;
    scene.events.length = 0;
    const yes = scene.run('freeze', '--for', '10ms');
    assert.equal(await yes.status, 0, yes.err);
    assert.ok(scene.events.includes('guard thaws'));
  });

  it('does nothing where there is nobody to ask', async () => {
    const scene = new Scene();
    const run = scene.run('freeze', '--for', '1s');
    assert.equal(await run.status, 2);
    assert.match(run.err, /give --yes/);
    assert.deepEqual(scene.events, []);
  });

  it('takes no time that is missing, absurd, or given twice', async () => {
    for (const args of [
      [],
      ['--for', '0s'],
      ['--for', '11m'],
      ['--for', '-1s'],
      ['--for', 'x'],
      ['--for', '1s', '--for', '2s'],
    ]) {
      const scene = new Scene();
      assert.equal(await scene.run('freeze', '--yes', ...args).status, 2, args.join(' '));
      assert.deepEqual(scene.events, []);
    }
    assert.deepEqual(
      ['10', '10s', '500ms', '1.5s', '10m'].map(parseDuration),
      [10_000, 10_000, 500, 1500, 600_000],
    );
  });

  it('thaws at once when interrupted', async () => {
    const scene = new Scene();
    const run = scene.run('freeze', '--for', '10m', '--yes', '--json');
    while (!scene.events.some((event) => event.startsWith('guard freezes')))
      await new Promise((resolve) => setTimeout(resolve, 5));
    process.emit('SIGINT');
    assert.equal(await run.status, 1);
    const record = JSON.parse(run.out);
    assert.deepEqual([record.result, record.problem], ['early', 'the command was told to stop']);
    assert.equal(process.listenerCount('SIGINT'), 0);
  });

  it('tells when it was thawed before its time', async () => {
    const scene = new Scene();
    const run = scene.run('freeze', '--for', '10m', '--yes');
    while (!scene.events.some((event) => event.startsWith('guard freezes')))
      await new Promise((resolve) => setTimeout(resolve, 5));
    scene.guard.endsBy('signal');
    assert.equal(await run.status, 1);
    assert.match(run.out, /THAWED TOO EARLY\n {2}problem: .*the guard was told to stop/);
  });

  it('does not disturb a backup of the host', async () => {
    const scene = new Scene();
    scene.startError = Object.assign(new Error('x'), { code: 'EBUSY' });
    const run = scene.run('freeze', '--for', '1s', '--yes');
    assert.equal(await run.status, 5);
    assert.match(run.err, /^vmic: another freeze is under way \(vmic vss status\)\n/m);
  });

  it('fails with words, and what a hook said, when it can not freeze', async () => {
    const scene = new Scene();
    scene.hook('10-db', '[ $1 = thaw ] || { echo no database >&2; exit 3; }');
    const run = scene.run('freeze', '--for', '1s', '--yes');
    assert.equal(await run.status, 6);
    assert.match(run.out, /FAILED, nothing was frozen/);
    assert.match(run.err, /A freeze hook failed: .*10-db: exit status 3: no database/);
    assert.match(run.err, /vmic: the hook .*10-db refused: exit status 3\n$/);
  });
});
