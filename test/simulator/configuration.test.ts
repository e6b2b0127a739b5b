import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { it } from 'node:test';
import { binFolder } from '../../simulator/stages/daemon.ts';

/** Configurations are refused before anything is opened. */
for (const [program, setting, complaint] of [
  [
    'vmic-heartbeat',
    'heartbeat.units=app.service,--now',
    /heartbeat\.units: \\"--now\\" is no name of a unit/,
  ],
  ['vmic-heartbeat', 'heartbeat.units=a b', /is no name of a unit/],
  ['vmic-heartbeat', 'heartbeat.interval_secs=0', /a whole number from 1 to 3600/],
  ['vmic-heartbeat', 'heartbeat.checks_directory=here', /an absolute path/],
  [
    'vmic-shutdown',
    'shutdown.refuse=power-off,dance',
    /shutdown\.refuse: \\"dance\\" is none of power-off, restart, hibernate/,
  ],
  ['vmic-shutdown', 'shutdown.hook_share_percent=100', /a whole number from 0 to 90/],
  ['vmic-shutdown', 'shutdown.inhibitors=perhaps', /one of respect, ignore/],
] as const) {
  it(`${program} refuses ${setting} with status 78`, () => {
    const args = [
      path.join(binFolder(), program),
      '--transport',
      'unix-ring:/nonexistent/host.sock',
      '--set',
      setting,
    ];
    const { status, stderr } = spawnSync(process.execPath, args, {
      encoding: 'utf8',
      timeout: 600_000,
    });
    assert.equal(status, 78, stderr);
    assert.match(stderr, complaint);
  });
}
