import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { test } from 'node:test';
import { root, runScript } from './tree.ts';

test('a daemon runs from its source until Ctrl-C', { timeout: 120_000 }, async () => {
  const child = spawn(process.execPath, [join(root, 'scripts/dev.mjs'), 'heartbeat'], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  try {
    let output = '';
    const passed = new Promise<void>((resolve, reject) => {
      for (const stream of [child.stdout, child.stderr])
        stream.setEncoding('utf8').on('data', (chunk: string) => {
          output += chunk;
          if (/^All \d+ checks passed\.$/m.test(output)) resolve();
        });
      child.once('exit', () => reject(new Error(`it ended; it said:\n${output}`)));
    });
    await passed;
    assert.match(output, /^── heartbeat: /m);
    const ended = once(child, 'exit');
    child.kill('SIGINT');
    assert.deepEqual(await ended, [0, null]);
  } finally {
    child.kill('SIGKILL');
  }
});

test('a service that does not exist is refused', () => {
  const { status, stderr } = runScript('dev.mjs', 'nothing');
  assert.match(stderr, /usage: npm run dev -- SERVICE, which is one of .*\bkvp\b/);
  assert.equal(status, 2);
});
