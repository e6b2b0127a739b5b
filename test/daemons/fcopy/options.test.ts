import assert from 'node:assert/strict';
import os from 'node:os';
import { describe, test } from 'node:test';
import { parseTarget, rootOf } from '../../../daemons/fcopy/names.ts';
import { fcopyOptions, parseOwner } from '../../../daemons/fcopy/options.ts';

describe('owners', () => {
  test('are names of this system, or numbers', () => {
    const { username, uid, gid } = os.userInfo();
    assert.deepEqual(parseOwner(username), { uid, gid });
    assert.deepEqual(parseOwner('root:root'), { uid: 0, gid: 0 });
    assert.deepEqual(parseOwner('1234:5678'), { uid: 1234, gid: 5678 });
    assert.deepEqual(parseOwner('root:5678'), { uid: 0, gid: 5678 });
    assert.equal(parseOwner(''), undefined);
  });

  test('say what is wrong with them', () => {
    for (const [text, words] of [
      ['nobody-of-this-name', /a user of this system; "nobody-of-this-name" is none/],
      ['root:no-such-group', /a group of this system/],
      ['1234', /no account that tells its group/],
      ['root:', /user:group/],
      [':root', /user:group/],
      ['a:b:c', /user:group/],
      ['4294967295:0', /numbers below/],
      ['-1:0', /a user of this system/],
    ] as const) {
      const owner = parseOwner(text);
      assert.match(typeof owner === 'string' ? owner : JSON.stringify(owner), words, text);
      assert.match(fcopyOptions.owner.check(text) ?? '', words);
    }
  });

  test('and permissions are octal', () => {
    for (const good of ['0644', '755', '4711'])
      assert.equal(fcopyOptions.mode.check(good), undefined);
    for (const bad of ['', '0888', 'rw-r--r--', '0o644', '64', '00644'])
      assert.ok(fcopyOptions.mode.check(bad), bad);
  });
});

describe('targets', () => {
  test('are what a host means, with separators of either kind', () => {
    for (const path of ['/a/b', '\\a\\b', '/a\\b/', '//a/./b//', '\\\\a\\b\\.\\']) {
      assert.deepEqual(
        parseTarget(path, 'ä 日本 😀'),
        { folders: ['a', 'b'], fileName: 'ä 日本 😀' },
        path,
      );
    }
    assert.deepEqual(parseTarget('/', 'x'), { folders: [], fileName: 'x' });
    assert.deepEqual(parseTarget('/..a/b..', '...'), { folders: ['..a', 'b..'], fileName: '...' });
  });

  test('lie in the innermost of the roots, and a name alone makes no neighbour one', () => {
    const roots = [[], ['srv'], ['srv', 'in']].map((folders) => ({ folders }));
    assert.equal(rootOf(['srv', 'in', 'x'], roots), roots[2]);
    assert.equal(rootOf(['srv', 'in'], roots), roots[2]);
    assert.equal(rootOf(['srv', 'inside'], roots), roots[1]);
    assert.equal(rootOf([], roots), roots[0]);
    assert.equal(rootOf(['etc'], roots.slice(1)), undefined);
  });
});
