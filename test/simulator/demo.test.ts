/** What `npm start` runs: the demonstration as a program. */
import assert from 'node:assert/strict';
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { behaviours } from '../../simulator/behaviours/index.ts';
import { scenes } from '../../simulator/scenes/index.ts';
import { binFolder } from '../../simulator/stages/daemon.ts';

interface Event {
  readonly event: string;
  readonly [field: string]: unknown;
}

/** A temporary folder of its own, so that nothing left behind can hide among others. */
let temporary = '';
before(() => {
  temporary = fs.mkdtempSync(path.join(os.tmpdir(), 'vmic-demo-'));
});
after(() => fs.rmSync(temporary, { recursive: true, force: true }));

class Demo {
  readonly child: ChildProcessWithoutNullStreams;
  readonly ended: Promise<{ code: number | null; signal: string | null }>;
  output = '';
  complaint = '';

  constructor(...args: string[]) {
    this.child = spawn(process.execPath, [path.join(binFolder(), 'vmic'), 'simulate', ...args], {
      env: { ...process.env, TMPDIR: temporary },
    });
    this.child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      this.output += chunk;
    });
    this.child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      this.complaint += chunk;
    });
    this.ended = new Promise((resolve) => {
      this.child.on('close', (code, signal) => resolve({ code, signal }));
    });
  }

  events(): Event[] {
    return this.output
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as Event);
  }

  /** Until the output so far fits, or the program ended. */
  async until(fits: () => boolean): Promise<void> {
    while (!fits()) {
      assert.equal(
        this.child.exitCode,
        null,
        `it ended too early:\n${this.output.slice(-2000)}${this.complaint}`,
      );
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

/** Processes whose command line names our temporary folder, and what lies in it. */
function leftBehind(): string[] {
  const processes = [];
  for (const pid of fs
    .readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)) {
    try {
      const commandLine = fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
      if (commandLine.includes(temporary)) processes.push(`${pid}: ${commandLine}`);
    } catch {
      // Gone meanwhile
    }
  }
  return [...processes, ...fs.readdirSync(temporary)];
}

describe('the demonstration, once', () => {
  it(
    'plays every behaviour on its wires, finds all as expected, and leaves nothing ' + 'behind',
    async () => {
      const demo = new Demo('--once', '--json');
      assert.deepEqual(
        await demo.ended,
        { code: 0, signal: null },
        demo.output.slice(-3000) + demo.complaint,
      );
      assert.equal(demo.complaint, '');
      const events = demo.events();
      const results = events.filter(({ event }) => event === 'result');
      for (const { name, wires } of [...behaviours.values(), ...scenes]) {
        const played = results.filter(({ what }) => String(what).startsWith(`${name} over `));
        assert.equal(played.length, wires.length, `${name} was played on each of its wires`);
      }
      assert.deepEqual(
        results.filter(({ ok }) => ok !== true),
        [],
      );
      const [view] = events.filter(({ event }) => event === 'view');
      const keys = (view!['items'] as { key: string }[]).map(({ key }) => key);
      assert.ok(keys.includes('OSName') && keys.includes('NetworkAddressIPv4'));
      const directions = new Set(
        events.filter(({ event }) => event === 'wire').map(({ wire, from }) => `${wire} ${from}`),
      );
      assert.deepEqual([...directions].sort(), [
        'unix guest',
        'unix host',
        'unix-ring guest',
        'unix-ring host',
      ]);
      assert.equal(events.at(-1)?.event, 'end');
      assert.equal(events.at(-1)?.['ok'], true);
      assert.deepEqual(leftBehind(), []);
    },
  );

  it('tells people the same in lines of 80 columns without escapes', async () => {
    const demo = new Demo('--behaviour', 'auto-pool', '--behaviour', 'bad-pool');
    assert.deepEqual(await demo.ended, { code: 0, signal: null }, demo.output + demo.complaint);
    assert.match(demo.output, /→ enumerate +auto \[5\] +7432 B/);
    assert.match(demo.output, /← enumerate +auto \[5\] OSName = .*ok +74\d\d B/);
    assert.match(demo.output, /ok +bad-pool over the ring\n/);
    assert.ok(!demo.output.includes('\x1b'));
    const messages = demo.output.split('\n').filter((line) => /[→←]/.test(line));
    assert.deepEqual(
      messages.filter((line) => [...line].length > 80),
      [],
    );
  });

  it('shows how far a copied file has come, on both wires', async () => {
    const demo = new Demo('--behaviour', 'fcopy-large', '--json');
    assert.deepEqual(
      await demo.ended,
      { code: 0, signal: null },
      demo.output.slice(-3000) + demo.complaint,
    );
    const done = demo
      .events()
      .filter(({ event }) => event === 'progress')
      .map(({ doneBytes, sizeBytes }) => Number(doneBytes) / Number(sizeBytes));
    assert.equal(done.filter((part) => part === 1).length, 2);
    assert.ok(
      done.length > 20 &&
        done.every((part, i) => i === 0 || part > done[i - 1]! || done[i - 1] === 1),
    );
    const notes = demo.events().filter(({ event }) => event === 'note');
    assert.ok(notes.some(({ text }) => /^Last .*large\.bin: 5\.0 MiB/.test(String(text))));
    assert.deepEqual(leftBehind(), []);
  });

  it('fails when the daemon does', async () => {
    const folder = fs.mkdtempSync(path.join(temporary, 'bin-'));
    const daemon = path.join(folder, 'vmic-kvp');
    fs.writeFileSync(daemon, 'process.exit(7)');
    for (const name of ['vmic', 'simulate.js', 'package.json'])
      fs.copyFileSync(path.join(binFolder(), name), path.join(folder, name));
    const child = spawn(
      process.execPath,
      [path.join(folder, 'vmic'), 'simulate', '--once', '--json'],
      {
        env: {
          ...process.env,
          TMPDIR: temporary,
          VMIC_ADDON: path.resolve(binFolder(), '../build/Release/vmic.node'),
        },
        stdio: ['ignore', 'pipe', 'ignore'],
      },
    );
    const code = await new Promise((resolve) => {
      child.stdout.resume();
      child.on('close', resolve);
    });
    fs.rmSync(folder, { recursive: true });
    assert.equal(code, 1);
    assert.deepEqual(leftBehind(), []);
  });
});

describe('the demonstration, live', () => {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    const course = `goes on until ${signal}, shows changes from both sides`;
    it(`${course}, and leaves nothing behind`, async () => {
      const demo = new Demo('--json', '--interval', '0.1');
      const seen = (pool: number, key: string): boolean =>
        demo
          .events()
          .some(
            ({ event, pools }) =>
              event === 'view' &&
              (pools as { pool: number; items: { key: string }[] }[]).some(
                (one) => one.pool === pool && one.items.some((item) => item.key === key),
              ),
          );
      await demo.until(() => seen(1, 'DemoFromGuest') && seen(0, 'DemoFromHost'));
      demo.child.kill(signal);
      assert.deepEqual(await demo.ended, { code: 0, signal: null });
      assert.deepEqual(leftBehind(), []);
    });
  }

  it('ends when nobody reads its output any more', async () => {
    const demo = new Demo('--interval', '0.1');
    await demo.until(() => demo.output.includes('What the administrator sees'));
    demo.child.stdout.destroy();
    assert.deepEqual(await demo.ended, { code: 0, signal: null }, demo.complaint);
    assert.deepEqual(leftBehind(), []);
  });

  it(
    'interrupted in the middle of --once, says so with status 130 and leaves nothing ' + 'behind',
    async () => {
      for (const moment of ['"scene"', '"wire"', '"result"']) {
        const demo = new Demo('--once', '--json');
        await demo.until(() => demo.output.includes(moment));
        demo.child.kill('SIGINT');
        assert.deepEqual(await demo.ended, { code: 130, signal: null });
        assert.deepEqual(leftBehind(), []);
      }
    },
  );
});

describe('the command line of the demonstration', () => {
  it('teaches', async () => {
    const demo = new Demo('--help');
    assert.deepEqual(await demo.ended, { code: 0, signal: null });
    for (const word of ['--once', '--behaviour', '--transport', '--json', 'Exit status'])
      assert.ok(demo.output.includes(word), word);
    const list = new Demo('--list');
    await list.ended;
    for (const name of behaviours.keys()) assert.ok(list.output.includes(name), name);
  });

  for (const [args, complaint] of [
    [['--behaviour', 'dance'], /--behaviour dance: there is none/],
    [['--behaviour', 'versions', '--transport', 'unix'], /versions needs --transport unix-ring/],
    [['--transport', 'pigeon'], /expected unix, unix-ring or both/],
    [['--interval', 'soon'], /expected 0.1 to 3600 seconds/],
    [['--nonsense'], /nonsense/],
  ] as const) {
    it(`refuses ${args.join(' ')} with status 2`, async () => {
      const demo = new Demo(...args);
      assert.deepEqual(await demo.ended, { code: 2, signal: null });
      assert.match(demo.complaint, complaint);
      assert.equal(demo.output, '');
    });
  }
});
