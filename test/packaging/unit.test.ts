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
const serviceOf = (socket: string): string => socket.replace(/@?\.socket$/, '.service');
const sockets = fs
  .readdirSync(systemd)
  .filter((name) => name.endsWith('.socket') && units.includes(serviceOf(name)));

const analyze = (...args: string[]) =>
  spawnSync('systemd-analyze', args, {
    encoding: 'utf8',
    env: { ...process.env, SYSTEMD_PAGER: '' },
  });
const version = Number(/systemd (\d+)/.exec(analyze('--version').stdout ?? '')?.[1]);
const skip = Number.isNaN(version)
  ? 'systemd-analyze is not installed'
  : version < 250
    ? `systemd ${version} can't look at units that are not installed`
    : false;

/**
 * The unit with its programs replaced by ones that exist here: it names where packages put them.
 */
function installed(unit: string, change: (text: string) => string = (text) => text): string {
  const text = fs.readFileSync(path.join(systemd, unit), 'utf8');
  const own = path.basename(unit, '.service');
  assert.match(
    text,
    new RegExp(`^ExecStart=-?/usr/(bin/${own}|bin/vmic|sbin/hv_\\w+_daemon)( |$)`, 'm'),
  );
  const there = text.replace(/^(Exec\w+=[-+]*)\/usr\/s?bin\/([\w-]+)/gm, (_, key, program) => {
    fs.writeFileSync(path.join(folder, program), '#!/bin/sh\n', { mode: 0o755 });
    return `${key}${path.join(folder, program)}`;
  });
  const file = path.join(folder, unit);
  fs.writeFileSync(file, change(there));
  return file;
}

/**
 * What `systemd-analyze security` may say, times ten. Hooks are an administrator's programs: these
 * units say what they need.
 */
const EXPOSURE: Readonly<Record<string, number>> = {
  'vmic-shutdown.service': 50,
  'vmic-vss.service': 51,
};
const exposureOf = (unit: string): number => EXPOSURE[unit] ?? 25;

for (const unit of units) {
  test(`systemd-analyze verify has nothing to say about ${unit}`, { skip }, () => {
    const { status, stdout, stderr } = analyze('verify', installed(unit));
    assert.deepEqual({ status, stdout, stderr }, { status: 0, stdout: '', stderr: '' });
  });

  test(`systemd-analyze verify finds a misspelt key in ${unit}`, { skip }, () => {
    const { stderr } = analyze(
      'verify',
      installed(unit, (text) => text.replace('LockPersonality=', 'LockPersonalities=')),
    );
    assert.match(stderr, /LockPersonalities/);
  });

  test(`systemd-analyze security puts the exposure of ${unit} at ${exposureOf(unit) / 10} or ` +
    'less', {
    skip,
  }, () => {
    const { status, stdout, stderr } = analyze(
      'security',
      '--offline=true',
      `--threshold=${exposureOf(unit)}`,
      installed(unit),
    );
    assert.equal(status, 0, stdout + stderr);
  });
}

for (const socket of sockets) {
  test(`systemd-analyze verify has nothing to say about ${socket}`, { skip }, () => {
    // A template is looked at through an instance
    const file = path.join(folder, socket.replace('@.', '@uio0.'));
    fs.copyFileSync(path.join(systemd, socket), file);
    installed(serviceOf(socket));
    const { status, stdout, stderr } = spawnSync('systemd-analyze', ['verify', file], {
      encoding: 'utf8',
      env: { ...process.env, SYSTEMD_PAGER: '', SYSTEMD_UNIT_PATH: `${folder}:` },
    });
    assert.deepEqual({ status, stdout, stderr }, { status: 0, stdout: '', stderr: '' });
  });

  test(
    `a start for each time ${socket} may leave its service without a process is within the ` +
      'limits',
    () => {
      const limit = (unit: string, key: string): number =>
        Number(
          new RegExp(`^${key}=(\\d+)$`, 'm').exec(
            fs.readFileSync(path.join(systemd, unit), 'utf8'),
          )?.[1],
        );
      for (const unit of [socket, serviceOf(socket)]) {
        // idle_exit_ms is 10 s
        assert.ok(
          limit(unit, 'StartLimitIntervalSec') / 10 < limit(unit, 'StartLimitBurst') / 2,
          unit,
        );
      }
    },
  );
}

test('each unit is started by a device that a udev rule makes a unit of', () => {
  const text = fs.readFileSync(path.join(systemd, '70-vmic.rules'), 'utf8');
  // A backslash at the end continues a line.
  const rules = text.replaceAll(/\\\n\s*/g, '').split('\n');
  const devices = rules
    .filter((line) => line.includes('TAG+="systemd"'))
    .map((line) => {
      // Its own name, or that of its node; "/" becomes "-"
      const alias = /ENV\{SYSTEMD_ALIAS\}\+="\/([^"]+)"/.exec(line)?.[1];
      const name = alias ?? `dev/${/KERNEL=="([^"]+)"/.exec(line)?.[1]}`;
      return `${name.replaceAll('/', '-')}.device`;
    });
  for (const unit of [...units, ...sockets]) {
    const text = fs.readFileSync(path.join(systemd, unit), 'utf8');
    const wanted = [...text.matchAll(/^WantedBy=(.*)$/gm)].map((match) => match[1]!);
    if (unit.includes('@')) {
      assert.deepEqual(wanted, [], unit);
      const wants = `ENV{SYSTEMD_WANTS}+="${unit.replace('@', '@%k')}"`;
      assert.ok(
        rules.some((line) => line.includes('TAG+="systemd"') && line.includes(wants)),
        unit,
      );
    } else assert.ok(wanted.length > 0, unit);
    for (const device of wanted) assert.ok(devices.includes(device), `${unit}: ${device}`);
  }
});
