import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, beforeEach, describe, it } from 'node:test';
import { LinuxHealth } from '../../../daemons/heartbeat/system.ts';

let folder: string;
before(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'vmic-health-'));
});
after(() => fs.rmSync(folder, { recursive: true, force: true }));
beforeEach(() => {
  for (const name of ['bin', 'root', 'checks'])
    fs.rmSync(path.join(folder, name), { recursive: true, force: true });
});

function script(where: string, text: string): string {
  const file = path.join(folder, where);
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, `#!/bin/sh\n${text}\n`, { mode: 0o755 });
  return file;
}

/** A guest whose programs are ours. */
const health = (systemd = true): LinuxHealth => {
  const root = path.join(folder, 'root');
  if (systemd) fs.mkdirSync(path.join(root, 'run/systemd/system'), { recursive: true });
  return new LinuxHealth({
    root,
    programPath: `${path.join(folder, 'bin')}:/usr/bin:/bin`,
    checksDirectory: path.join(folder, 'checks'),
    checkTimeoutSecs: 1,
  });
};

describe('asking the guest', () => {
  it('for the system: by systemctl where systemd runs', async () => {
    script('bin/systemctl', `echo "$*" >${folder}/asked; echo degraded`);
    assert.equal(await health().systemState(), 'degraded');
    assert.equal(
      fs.readFileSync(path.join(folder, 'asked'), 'utf8'),
      'show --property=SystemState --value\n',
    );
  });

  it(
    'for the system: unknown where systemd does not run, is not there, or does not ' + 'answer',
    async () => {
      script('bin/systemctl', 'echo running');
      assert.equal(await health(false).systemState(), 'unknown');
      fs.mkdirSync(path.join(folder, 'root/run/systemd/system'), { recursive: true });
      script('bin/systemctl', 'echo running; exit 1');
      assert.equal(await health().systemState(), 'unknown');
    },
  );

  it('for units: their names come after "--"', async () => {
    script(
      'bin/systemctl',
      `echo "$*" >${folder}/asked; printf 'LoadState=loaded\\nActiveState=failed\\n'`,
    );
    assert.deepEqual(await health().failedUnits(['a.service']), ['a.service: failed']);
    assert.equal(
      fs.readFileSync(path.join(folder, 'asked'), 'utf8'),
      'show --property=LoadState,ActiveState -- a.service\n',
    );
  });

  it('for checks: what failed, how, and what it said', async () => {
    const check = script('checks/10-app', 'printf "broken \\033[31m\\n"; echo really >&2; exit 2');
    assert.deepEqual(await health().checks(), { files: [check], refused: [] });
    assert.equal(await health().runCheck(check), '10-app: exit status 2: broken \\x1b[31m really');
    script('checks/10-app', 'exit 0');
    assert.equal(await health().runCheck(check), undefined);
    script('checks/10-app', 'exec sleep 1000');
    assert.equal(await health().runCheck(check), '10-app: did not end within 1 s');
  });
});
