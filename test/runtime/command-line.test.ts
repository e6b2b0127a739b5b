import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { VERSION } from '../../runtime/version.ts';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'vmic-command-line-'));
after(() => fs.rmSync(folder, { recursive: true }));
const script = path.join(import.meta.dirname, 'toy-daemon.ts');
const noConfig = ['--config', path.join(folder, 'config.toml')];
fs.writeFileSync(noConfig[1]!, '');

describe('command line of a daemon', () => {
  const run = (...args: string[]) =>
    spawnSync(process.execPath, ['--import', 'tsx', script, ...args], { encoding: 'utf8' });

  it('explains itself', () => {
    const help = run('--help');
    assert.equal(help.status, 0);
    assert.match(help.stdout, /Usage: vmic-toy .*Exit status: 0 stopped/s);
    assert.equal(run('-V').stdout, `vmic-toy ${VERSION}\n`);
    const packageJson = JSON.parse(
      fs.readFileSync(path.join(import.meta.dirname, '../../package.json'), 'utf8'),
    );
    assert.equal(VERSION, packageJson.version);
  });

  it('refuses what it does not know', () => {
    const { status, stderr } = run('--frobnicate');
    assert.equal(status, 2);
    assert.match(stderr, /vmic-toy: Unknown option '--frobnicate'.*Try 'vmic-toy --help'/s);
    assert.equal(run('extra').status, 2);
  });

  it('ends with 78 and the reason when the configuration is wrong', () => {
    const file = path.join(folder, 'wrong.toml');
    fs.writeFileSync(file, '[kvp]\nslow_ms = "x"\n');
    for (const [args, pattern] of [
      [['--config', file], /wrong\.toml:2: kvp\.slow_ms: expected a whole number/],
      [
        ['--set', 'kvp.transport=tcp:1', ...noConfig],
        /--set kvp\.transport: expected chardev:.* got "tcp:1"/,
      ],
      [['--transport', 'unix:x', ...noConfig], /--transport "unix:x": expected an absolute path/],
    ] as const) {
      const { status, stderr } = run(...args);
      assert.equal(status, 78, stderr);
      assert.match(JSON.parse(stderr).message, pattern);
    }
  });
});
