/** The unit as systemd runs it, in a virtual machine with a real hv_utils (test/rig/README.md). */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const kernel = '6.12';

const skip =
  process.arch !== 'x64' || !fs.existsSync('/etc/debian_version')
    ? 'the rig needs Debian on amd64'
    : process.getuid?.() !== 0
      ? 'the rig needs root'
      : false;

test('the unit is started by the device, sandboxed, restarted, stopped and disabled', {
  skip,
}, () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'vmic-unit-'));
  try {
    for (const part of [
      'bin',
      'build/Release/vmic.node',
      'systemd',
      'test/packaging/unit-in-guest.sh',
    ]) {
      fs.cpSync(path.join(root, part), path.join(folder, part), { recursive: true });
    }
    const run = (script: string, ...args: string[]): number | null =>
      // The transcript is the proof: it goes to standard error, which is nobody's protocol
      spawnSync(path.join(root, 'test/rig', script), args, { stdio: ['ignore', 2, 2] }).status;
    assert.equal(run('setup.sh', kernel), 0);
    const script = '/opt/vmic/test/packaging/unit-in-guest.sh';
    const command = ['--', 'bash', script, '/opt/vmic'];
    assert.equal(
      run('run.sh', '--kernel', kernel, '--systemd', '--copy', `${folder}:/opt/vmic`, ...command),
      0,
    );
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
});
