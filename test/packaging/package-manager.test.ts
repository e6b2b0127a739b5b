/**
 * What "npm test" asks of the package manager: nothing when everything is there, and no silence
 * when it fails.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';

const root = path.join(import.meta.dirname, '../..');
const SCRIPTS = 'scripts';
const PROGRAMS = ['apt', 'apt-get', 'apt-cache', 'aptitude', 'dpkg', 'dpkg-query', 'npm', 'npx'];
const FAILURE = 'E: this package manager fails';

describe('npm test and the package manager', () => {
  let folder: string;
  let calls: string;
  before(() => {
    folder = fs.mkdtempSync(path.join(os.tmpdir(), 'vmic-package-manager-'));
    calls = path.join(folder, 'calls');
    fs.mkdirSync(path.join(folder, 'bin'));
    for (const program of PROGRAMS) {
      const note = `echo "${program} $*" >>'${calls}'`;
      const text = `#!/bin/sh\n${note}\necho '${FAILURE}' >&2\nexit 100\n`;
      fs.writeFileSync(path.join(folder, 'bin', program), text, { mode: 0o755 });
    }
    // Stands for the whole suite: what comes before the tests is the same
    fs.mkdirSync(path.join(folder, 'test'));
    fs.writeFileSync(
      path.join(folder, 'test/one.test.ts'),
      "import { test } from 'node:test';\ntest('one', () => {});\n",
    );
  });
  after(() => fs.rmSync(folder, { recursive: true, force: true }));

  const run = (script: string, ...args: string[]) => {
    fs.rmSync(calls, { force: true });
    const { NODE_TEST_CONTEXT: _, ...environment } = process.env;
    const { status, stderr } = spawnSync(process.execPath, [script, ...args], {
      encoding: 'utf8',
      env: { ...environment, PATH: `${path.join(folder, 'bin')}:${process.env['PATH']}` },
    });
    return { status, stderr, called: fs.existsSync(calls) ? fs.readFileSync(calls, 'utf8') : '' };
  };

  const isThere = ['bin/.inputs', '.cache/hyperv-daemons'].every((file) =>
    fs.existsSync(path.join(root, file)),
  );
  it('calls none when everything is there', {
    skip: !isThere && 'the programs are not built, or there are no C daemons',
  }, () => {
    const one = path.join(folder, 'test/one.test.ts');
    assert.deepEqual(run(path.join(root, SCRIPTS, 'run.mjs'), 'test', one), {
      status: 0,
      stderr: '',
      called: '',
    });
  });

  it('says why the C daemons could not be fetched, and goes on', {
    skip: !fs.existsSync('/etc/debian_version') && 'not on Debian',
  }, () => {
    fs.mkdirSync(path.join(folder, SCRIPTS));
    for (const name of ['test.mjs', 'support.mjs', 'watch.mjs']) {
      fs.copyFileSync(path.join(root, SCRIPTS, name), path.join(folder, SCRIPTS, name));
    }
    fs.symlinkSync(path.join(root, 'node_modules'), path.join(folder, 'node_modules'));
    const { status, stderr, called } = run(
      path.join(folder, SCRIPTS, 'test.mjs'),
      'test/one.test.ts',
    );
    assert.equal(status, 0, stderr);
    assert.match(stderr, /apt-get download hyperv-daemons failed: no C daemons to compare with/);
    assert.ok(stderr.includes(FAILURE), stderr);
    assert.match(called, /^apt-get -q download hyperv-daemons$/m);
  });
});
