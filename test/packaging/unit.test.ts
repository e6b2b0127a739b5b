import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'vmic-unit-'));
after(() => fs.rmSync(folder, { recursive: true }));

const systemd = fileURLToPath(new URL('../../systemd/', import.meta.url));
const units = fs.readdirSync(systemd).filter((name) => name.endsWith('.service'));

const analyze = (...args: string[]) =>
  spawnSync('systemd-analyze', args, { encoding: 'utf8', env: { ...process.env, SYSTEMD_PAGER: '' } });
const version = Number(/systemd (\d+)/.exec(analyze('--version').stdout ?? '')?.[1]);
const skip = Number.isNaN(version)
  ? 'systemd-analyze is not installed'
  : version < 250
    ? `systemd ${version} can't look at units that are not installed`
    : false;

/** The unit with its program replaced by one that exists here: it names where packages put it. */
function installed(unit: string, change: (text: string) => string = (text) => text): string {
  const program = path.join(folder, path.basename(unit, '.service'));
  fs.writeFileSync(program, '#!/bin/sh\n', { mode: 0o755 });
  const text = fs.readFileSync(path.join(systemd, unit), 'utf8');
  assert.match(text, new RegExp(`^ExecStart=/usr/bin/${path.basename(program)}$`, 'm'));
  const file = path.join(folder, unit);
  fs.writeFileSync(file, change(text.replace(/^ExecStart=.*$/m, `ExecStart=${program}`)));
  return file;
}

for (const unit of units) {
  test(`systemd-analyze verify has nothing to say about ${unit}`, { skip }, () => {
    const { status, stdout, stderr } = analyze('verify', '--man=no', installed(unit));
    assert.deepEqual({ status, stdout, stderr }, { status: 0, stdout: '', stderr: '' });
  });

  test(`systemd-analyze verify finds a misspelt key in ${unit}`, { skip }, () => {
    const { stderr } = analyze(
      'verify',
      '--man=no',
      installed(unit, (text) => text.replace('WatchdogSec=', 'WatchDogSec=')),
    );
    assert.match(stderr, /WatchDogSec/);
  });

  test(`systemd-analyze security puts the exposure of ${unit} at 2.5 or less`, { skip }, () => {
    const { status, stdout, stderr } = analyze('security', '--offline=true', '--threshold=25', installed(unit));
    assert.equal(status, 0, stdout + stderr);
  });
}

test('each udev rule tags a device that a unit is started by', () => {
  const rules = fs
    .readFileSync(path.join(systemd, '70-vmic.rules'), 'utf8')
    .split('\n')
    .filter((line) => /^[A-Z]/.test(line));
  const devices = rules.map((line) => {
    const name = /KERNEL=="([^"]+)"/.exec(line)?.[1] ?? '';
    assert.match(line, /TAG\+="systemd"/);
    // A device node's unit: "/" becomes "-"
    return `dev-${name.replaceAll('/', '-')}.device`;
  });
  const wanted = units.flatMap((unit) => {
    const text = fs.readFileSync(path.join(systemd, unit), 'utf8');
    return [...text.matchAll(/^WantedBy=(dev-.*\.device)$/gm)].map((match) => match[1]);
  });
  assert.deepEqual(devices.sort(), wanted.sort());
});
