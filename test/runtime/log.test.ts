import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { describe, it } from 'node:test';

const module = path.join(import.meta.dirname, '../../runtime/log.ts');
const program = (body: string): string[] => [
  '--import',
  'tsx',
  '--input-type=module',
  '-e',
  `import { createLog } from ${JSON.stringify(module)};\n${body}`,
];
const run = (body: string) => spawnSync(process.execPath, program(body), { encoding: 'utf8' });

describe('log', () => {
  it(
    'writes JSON lines with journald priorities, ' + 'lines from before pino was loaded included',
    () => {
      const { stderr, status } = run(`
      const log = createLog('vmic-x', 'info', 'json');
      log.error('first', { error: new Error('boom'), size: 5n });
      log.debug('not wanted');
      log.notice('second');
      await log.close();`);
      assert.equal(status, 0);
      const lines = stderr
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line));
      assert.deepEqual(
        lines.map(({ time, pid, ...rest }) => rest),
        [
          {
            level: 'error',
            priority: 3,
            name: 'vmic-x',
            error: 'boom',
            size: '5',
            message: 'first',
          },
          { level: 'notice', priority: 5, name: 'vmic-x', message: 'second' },
        ],
      );
      assert.ok(lines.every(({ time }) => !Number.isNaN(Date.parse(time))));
    },
  );

  it('keeps lines to itself while it is held, and writes them with their times after', () => {
    const { stderr, status } = run(`
      import fs from 'node:fs';
      const log = createLog('x', 'info', 'json');
      log.notice('before');
      await log.hold();
      await log.hold();
      log.notice('held');
      log.debug('not wanted');
      await new Promise((resolve) => setTimeout(resolve, 50));
      fs.writeSync(2, JSON.stringify({ message: 'nothing written until here' }) + '\\n');
      log.release();
      log.notice('after');
      log.release();
      await log.close();`);
    assert.equal(status, 0);
    const lines = stderr
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    assert.deepEqual(
      lines.map(({ message }) => message),
      ['before', 'nothing written until here', 'held', 'after'],
    );
    assert.ok(
      Date.parse(lines[2].time) < Date.parse(lines[3].time),
      'the time is when it was logged',
    );
  });

  it('keeps no more than a megabyte, and says how many lines it dropped', () => {
    const { stderr, status } = run(`
      const log = createLog('x', 'info', 'json');
      log.notice('before');
      await log.hold();
      for (let i = 0; i < 40; i++) log.notice('long', { text: 'x'.repeat(50_000) });
      log.release();
      log.notice('after');
      await log.close();`);
    assert.equal(status, 0);
    const messages = stderr
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).message as string);
    const kept = messages.filter((message) => message === 'long').length;
    const [count] = messages.flatMap(
      (message) => /^(\d+) log lines were dropped/.exec(message)?.[1] ?? [],
    );
    assert.ok(kept > 10 && kept <= 21, `${kept} kept`);
    assert.equal(Number(count), 40 - kept);
  });

  it('writes what it held when it is closed', () => {
    const { stderr } = run(`
      const log = createLog('x', 'info', 'json');
      await log.hold();
      log.notice('held');
      await log.close();`);
    assert.match(stderr, /"message":"held"/);
  });

  it('puts the priority where the journal looks for it', () => {
    const { stderr } = run(
      `const log = createLog('x', 'info', 'journal'); log.warning('w'); await log.close();`,
    );
    assert.match(stderr, /^<4>\{.*"message":"w"/);
  });

  it('takes its output for the journal only where $JOURNAL_STREAM names it', () => {
    const withStream = (stream: string) =>
      spawnSync(
        process.execPath,
        program(`
          import fs from 'node:fs';
          const { dev, ino } = fs.fstatSync(2, { bigint: true });
          process.env.JOURNAL_STREAM = ${stream};
          const log = createLog('x', 'info'); log.warning('w'); await log.close();`),
        { encoding: 'utf8' },
      ).stderr;
    assert.match(withStream("dev + ':' + ino"), /^<4>\{/);
    assert.match(withStream("dev + ':' + (ino + 1n)"), /^\{/);
    assert.match(withStream("'nonsense'"), /^\{/);
  });

  it('goes on when nobody reads, and says how many lines that cost', {
    timeout: 600_000,
  }, async () => {
    const child = spawn(
      process.execPath,
      program(`
        const log = createLog('x', 'info', 'json');
        const line = 'y'.repeat(1000);
        for (let i = 0; i < 20; i++) {
          for (let k = 0; k < 500; k++) log.info(line);
          await new Promise((done) => setTimeout(done, 5));
        }
        process.stdout.write('alive\\n');
        // Until it has been read
        process.stdin.once('data', () => setInterval(() => log.info('again'), 20));
        process.stdin.once('end', () => process.exit(0));`),
    );
    let alive = false;
    let text = '';
    await new Promise<void>((resolve) => {
      child.stdout.once('data', () => {
        alive = true;
        child.stderr.on('data', (chunk) => {
          text += chunk;
          if (/were dropped/.test(text) && /"again"/.test(text)) child.stdin.end();
        });
        child.stdin.write('go\n');
      });
      child.on('close', () => resolve());
    });
    assert.ok(alive);
    assert.match(text, /\d+ log lines were dropped because nobody read them/);
    assert.match(text, /"again"/);
  });
});

it('a log whose reader has gone closes', async () => {
  const child = spawn(
    process.execPath,
    program(`
      const log = createLog('x', 'info', 'json');
      process.stdin.once('data', async () => {
        log.info('a');
        await new Promise((done) => setTimeout(done, 200));
        console.log(await log.close());
        process.exit(7);
      });
      console.log('ready');`),
  );
  let said = '';
  child.stdout.on('data', (chunk) => {
    said += chunk;
    if (said === 'ready\n') {
      child.stderr.destroy();
      child.stdin.write('go\n');
    }
  });
  assert.deepEqual(await once(child, 'close'), [7, null]);
  assert.equal(said, 'ready\ntrue\n');
});
