/** What a release is refused for. A slower test runs the commands of docs/releasing.md. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { copyOfTree, noClone, root, succeed } from '../docs/commands.ts';

const { changelogSection } = (await import(path.join(root, 'scripts/release.mjs'))) as {
  changelogSection(changelog: string, version: string): string | undefined;
};

describe('a release', { skip: noClone() }, () => {
  let work: string;
  let tree: string;
  before(() => {
    work = fs.mkdtempSync(path.join(os.tmpdir(), 'vmic-release-'));
    tree = copyOfTree(path.join(work, 'tree'));
  });
  after(() => fs.rmSync(work, { recursive: true, force: true }));

  const release = (...args: string[]) => {
    const { status, stderr } = spawnSync(process.execPath, ['scripts/release.mjs', ...args], {
      cwd: tree,
      encoding: 'utf8',
    });
    return { status, stderr };
  };
  const commit = (): string =>
    succeed('git', ['commit', '--quiet', '--all', '--message', 'A change'], { cwd: tree });

  it('is refused until version, lock file, changelog and tree agree', () => {
    const packageFile = path.join(tree, 'package.json');
    const pinned = fs
      .readFileSync(packageFile, 'utf8')
      .replace(/"version": "[^"]+"/, '"version": "9.9.9"');
    fs.writeFileSync(packageFile, pinned);
    const refused = release('--check');
    assert.equal(refused.status, 1);
    for (const words of [
      /^package-lock\.json is not of version 9\.9\.9/m,
      /^the tree has changes that are not committed:\n M package\.json/m,
      /^CHANGELOG\.md has no section "## \[9\.9\.9\] - YYYY-MM-DD"/m,
    ]) {
      assert.match(refused.stderr, words);
    }
    const lockFile = path.join(tree, 'package-lock.json');
    fs.writeFileSync(
      lockFile,
      fs
        .readFileSync(lockFile, 'utf8')
        .replaceAll(/("name": "vmic",\s+"version": )"[^"]+"/g, '$1"9.9.9"'),
    );
    const changelog = path.join(tree, 'CHANGELOG.md');
    const unreleased = fs.readFileSync(changelog, 'utf8');
    fs.writeFileSync(
      changelog,
      unreleased.replace('## [Unreleased]', '## [Unreleased]\n\n## [9.9.9] - 2026-01-31'),
    );
    commit();
    assert.deepEqual(release('--check'), { status: 0, stderr: '9.9.9 can be released.\n' });
    succeed('git', ['tag', 'v9.9.9'], { cwd: tree });
    assert.equal(release('--check').status, 0, 'its own tag does no harm');
    fs.appendFileSync(changelog, '\n');
    commit();
    assert.match(release('--check').stderr, /^the tag v9\.9\.9 is at another commit/m);
  });

  it('tells its usage for a flag that it does not know', () => {
    const { status, stderr } = release('--push');
    assert.equal(status, 2);
    assert.match(stderr, /'--push'.*\nusage: node scripts\/release\.mjs /s);
  });

  it('has the notes of its version alone', () => {
    const text =
      '## [Unreleased]\n\n## [1.0.0] - 2026-01-31\n\n- one\n\n## [0.9.0] - 2026-01-01\n\n- old\n';
    assert.equal(changelogSection(text, '1.0.0'), '- one');
    assert.equal(changelogSection(text, '0.9.0'), '- old');
    assert.equal(changelogSection(text, '1.0'), undefined);
    assert.equal(changelogSection('## [1.0.0]\n\n- no day\n', '1.0.0'), undefined);
  });
});
