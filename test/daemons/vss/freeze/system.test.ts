import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { Freezer } from '../../../../daemons/vss/freeze/freezer.ts';
import { changeStatus, readStatus } from '../../../../daemons/vss/freeze/status.ts';
import { LinuxFreezer, policyOf, type VssOptions } from '../../../../daemons/vss/freeze/system.ts';
import { vssOptions } from '../../../../daemons/vss/options.ts';
import { levels } from '../../../../runtime/log.ts';
import { FakeGuard } from './fake.ts';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'vmic-vss-'));
after(() => fs.rmSync(folder, { recursive: true, force: true }));

const defaults = Object.fromEntries(
  Object.entries(vssOptions).map(([key, option]) => [key, option.default]),
) as unknown as VssOptions;

let number = 0;
/**
 * A folder of hooks, a system with one file system, and a guard that only says that it froze it.
 */
function scene(scripts: Record<string, string>, more: Partial<VssOptions> = {}) {
  const base = path.join(folder, String(++number));
  const hooks = path.join(base, 'vss.d');
  const proc = path.join(base, 'proc');
  fs.mkdirSync(hooks, { recursive: true });
  fs.mkdirSync(path.join(proc, 'self'), { recursive: true });
  fs.writeFileSync(path.join(proc, 'self/mountinfo'), '1 0 8:1 / / rw - ext4 /dev/sda1 rw\n');
  for (const [name, script] of Object.entries(scripts)) {
    fs.writeFileSync(path.join(hooks, name), `#!/bin/sh\ncd ${base}\n${script}\n`, { mode: 0o755 });
  }
  const options = {
    ...defaults,
    hooks_directories: [hooks],
    status_file: path.join(base, 'run/vss.json'),
    ...more,
  };
  const guard = new FakeGuard((event) => fs.appendFileSync(path.join(base, 'calls'), `${event}\n`));
  const guards = {
    start: async () => guard,
    thawRecorded: async () => ({ complete: true, thawed: [] }),
  };
  const ports = new LinuxFreezer(options, guards, { proc, sysfs: '/nonexistent' });
  const lines: string[] = [];
  const log = levels(
    (severity, message, fields) =>
      void lines.push(`${severity}: ${message} ${JSON.stringify(fields)}`),
  );
  const logHold = { hold: async () => {}, release: () => {} };
  const freezer = new Freezer({ ports, policy: policyOf(options), log, logHold, by: 'host' });
  return {
    base,
    options,
    ports,
    freezer,
    lines,
    calls: () => fs.readFileSync(path.join(base, 'calls'), 'utf8').trim().split('\n'),
  };
}

const NOTE = 'echo "$0 $1" | sed "s,.*/,," >> calls';

describe('hooks in a folder', () => {
  it(
    'are called as those of qemu-ga are: with freeze and thaw, the folders in the order ' + 'given',
    async () => {
      const one = scene({ '10-a': NOTE, '20-b': NOTE, 'c~': NOTE, 'd.rpmsave': NOTE });
      const two = path.join(one.base, 'fsfreeze-hook.d');
      fs.mkdirSync(two);
      fs.writeFileSync(path.join(two, '00-first'), `#!/bin/sh\ncd ${one.base}\n${NOTE}\n`, {
        mode: 0o755,
      });
      fs.writeFileSync(path.join(two, 'not-executable'), `#!/bin/sh\ncd ${one.base}\n${NOTE}\n`, {
        mode: 0o644,
      });
      const { freezer, calls } = scene(
        {},
        { ...one.options, hooks_directories: [...one.options.hooks_directories, two] },
      );
      assert.ok((await freezer.freeze()).ok);
      await freezer.thaw();
      await freezer.over();
      const own = fs.readFileSync(path.join(one.base, 'calls'), 'utf8').trim().split('\n');
      assert.deepEqual(own, [
        '10-a freeze',
        '20-b freeze',
        '00-first freeze',
        '00-first thaw',
        '20-b thaw',
        '10-a thaw',
      ]);
      assert.deepEqual(calls(), ['guard freezes / for 60 s', 'guard thaws', 'guard is let go of']);
    },
  );

  it('that hang are ended, refuse the freeze, and are called with thaw all the same', async () => {
    const { freezer, calls, lines } = scene(
      { '10-a': `${NOTE}; [ $1 = thaw ] || sleep 600`, '20-b': NOTE },
      { hook_timeout_secs: 1 },
    );
    const outcome = await freezer.freeze();
    assert.ok(
      !outcome.ok && /10-a refused: did not end within 1 s/.test(outcome.problem),
      JSON.stringify(outcome),
    );
    await freezer.over();
    assert.deepEqual(calls(), ['10-a freeze', 'guard is let go of', '10-a thaw']);
    assert.ok(lines.some((line) => line.startsWith('error: A freeze hook failed')));
  });

  it('that print without end are cut short', async () => {
    const { freezer, lines } = scene({
      '10-loud': 'head -c 1000000 /dev/zero | tr "\\0" x; echo error >&2',
    });
    await freezer.freeze();
    await freezer.thaw();
    await freezer.over();
    assert.ok(lines.every((line) => line.length < 3000));
  });

  it('that others may write to are not run, and told of', async () => {
    const { base, freezer, lines } = scene({ '10-a': NOTE });
    fs.chmodSync(path.join(base, 'vss.d/10-a'), 0o777);
    assert.ok((await freezer.freeze()).ok);
    assert.ok(lines.some((line) => line.includes('others may write to it')));
    await freezer.thaw();
    await freezer.over();
  });
});

describe('the status file', () => {
  it('tells of a freeze before it begins, and of the last ones after', async () => {
    const { freezer, options, ports } = scene({ '10-a': NOTE });
    await freezer.freeze();
    const current = readStatus(options.status_file)?.current;
    assert.deepEqual(
      [current?.process, current?.guard?.pid, current?.mountPoints],
      [ports.self, 4711, ['/']],
    );
    assert.match(current?.hooks[0] ?? '', /10-a$/);
    await freezer.thaw();
    await freezer.over();
    const status = readStatus(options.status_file);
    assert.deepEqual(
      [status?.current, status?.freezes.length, status?.freezes[0]?.result],
      [undefined, 1, 'thawed'],
    );
  });

  it('that is none of ours is an error to read, and replaced when written', () => {
    const file = path.join(folder, 'other.json');
    for (const text of ['', '{}', '[]', 'null', '{"service":"vss","freezes":[],"current":{}}']) {
      fs.writeFileSync(file, text);
      assert.throws(() => readStatus(file), /is no status of vmic-vss/, text);
    }
    changeStatus(file, (status) => status);
    assert.deepEqual(readStatus(file), { service: 'vss', freezes: [] });
    assert.equal(readStatus(path.join(folder, 'absent')), undefined);
  });
});
