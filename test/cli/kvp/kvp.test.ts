import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { CommandError, EXIT, toCommandError } from '../../../cli/exit.ts';
import { PoolError } from '../../../daemons/kvp/pools/index.ts';
import { newFolder, poolPath, record } from '../../daemons/kvp/pools/folder.ts';
import { native, skip, vmic } from '../run.ts';

/** A pool folder with the given records, as any program may have left them. */
function pools(content: Readonly<Record<number, readonly Buffer[]>>): string {
  const folder = newFolder();
  fs.mkdirSync(folder);
  for (const [pool, records] of Object.entries(content)) {
    fs.writeFileSync(poolPath(folder, Number(pool)), Buffer.concat(records));
  }
  return folder;
}

async function kvp(folder: string, command: string, ...args: string[]) {
  const run = vmic(['kvp', command, '--pool-directory', folder, ...args]);
  return { status: await run.status, out: run.out, err: run.err };
}

test('get prints the value as it is', { skip }, async () => {
  const folder = pools({ 1: [record('A', 'x\x1b[31m')], 3: [record('HostName', 'välue')] });
  assert.deepEqual(await kvp(folder, 'get', 'HostName'), { status: 0, out: 'välue\n', err: '' });
  assert.equal((await kvp(folder, 'get', 'A')).out, 'x\x1b[31m\n');
  assert.deepEqual(JSON.parse((await kvp(folder, 'get', 'A', '--json')).out), {
    pool: 'guest',
    key: 'A',
    value: 'x\x1b[31m',
  });
});

test('get escapes what would control a terminal', { skip }, async () => {
  const folder = pools({ 1: [record('A', 'x\x1b[31m')] });
  const run = vmic(['kvp', 'get', 'A', '--pool-directory', folder], { outIsTerminal: true });
  assert.equal(await run.status, 0);
  assert.equal(run.out, 'x\\x1b[31m\n');
});

test('a key in several pools needs --pool, by name or number', { skip }, async () => {
  const folder = pools({ 0: [record('A', 'host')], 1: [record('A', 'guest')] });
  const { status, out, err } = await kvp(folder, 'get', 'A');
  assert.deepEqual([status, out], [EXIT.usage, '']);
  assert.match(err, /"A" is in the pools external, guest: choose one with --pool/);
  assert.equal((await kvp(folder, 'get', 'A', '--pool', '0')).out, 'host\n');
  assert.equal((await kvp(folder, 'get', 'A', '--pool=guest')).out, 'guest\n');
  assert.equal((await kvp(folder, 'get', '--pool', '1', 'A')).out, 'guest\n');
});

test('a missing key, pool file or folder is status 1', { skip }, async () => {
  const folder = pools({});
  assert.equal((await kvp(folder, 'get', 'A')).status, EXIT.notFound);
  assert.equal((await kvp(folder, 'delete', 'A')).status, EXIT.notFound);
  assert.deepEqual(await kvp(folder, 'list'), { status: 0, out: '', err: '' });
  const missing = newFolder();
  for (const [command, ...args] of [['get', 'A'], ['list'], ['delete', 'A']] as const) {
    const { status, err } = await kvp(missing, command, ...args);
    assert.equal(status, EXIT.notFound);
    assert.match(err, /does not exist/);
  }
  assert.equal(fs.existsSync(missing), false, 'looking makes nothing');
});

test('set writes into the guest pool, byte for byte as other programs expect it', {
  skip,
}, async () => {
  const folder = newFolder();
  assert.deepEqual(await kvp(folder, 'set', 'Ready', 'yes'), { status: 0, out: '', err: '' });
  assert.deepEqual(fs.readFileSync(poolPath(folder, 1)), record('Ready', 'yes'));
  assert.deepEqual(JSON.parse((await kvp(folder, 'set', 'Ready', 'no', '--json')).out), {
    pool: 'guest',
    change: 'changed',
    key: 'Ready',
    value: 'no',
    previous: 'yes',
  });
  assert.equal(
    JSON.parse((await kvp(folder, 'set', 'Ready', 'no', '--json')).out).change,
    'unchanged',
  );
  assert.equal(JSON.parse((await kvp(folder, 'set', 'B', '1', '--json')).out).change, 'added');
  assert.deepEqual(
    fs.readFileSync(poolPath(folder, 1)),
    Buffer.concat([record('Ready', 'no'), record('B', '1')]),
  );
});

test('keys and values that look like numbers, options or paths stay text', { skip }, async () => {
  const folder = newFolder();
  assert.equal((await kvp(folder, 'set', '007', '1e3')).status, 0);
  assert.equal((await kvp(folder, 'set', 'a.b', '0x10')).status, 0);
  assert.equal((await kvp(folder, 'set', 'empty', '')).status, 0);
  assert.equal((await kvp(folder, 'set', '--', '-k', '--json')).status, 0);
  assert.deepEqual(JSON.parse((await kvp(folder, 'list', '--json')).out), [
    { pool: 'guest', key: '007', value: '1e3' },
    { pool: 'guest', key: 'a.b', value: '0x10' },
    { pool: 'guest', key: 'empty', value: '' },
    { pool: 'guest', key: '-k', value: '--json' },
  ]);
});

test('set --stdin takes the value from standard input, without its last line end', {
  skip,
}, async () => {
  const folder = newFolder();
  const args = ['kvp', 'set', '--pool-directory', folder, '--stdin', 'A'];
  assert.equal(await vmic(args, { readInput: async () => Buffer.from('two\nlines\n') }).status, 0);
  assert.equal((await kvp(folder, 'get', 'A')).out, 'two\nlines\n');
  assert.equal((await kvp(folder, 'set', 'A')).status, EXIT.usage);
  assert.equal((await kvp(folder, 'set', 'A', 'b', '--stdin')).status, EXIT.usage);
});

test('set --stdin refuses bytes that are no text', { skip }, async () => {
  const folder = pools({ 1: [] });
  const run = vmic(['kvp', 'set', '--pool-directory', folder, '--stdin', 'A'], {
    readInput: async () => Buffer.from([0x61, 0xff]),
  });
  assert.equal(await run.status, EXIT.usage);
  assert.match(run.err, /not valid UTF-8/);
  assert.equal((await kvp(folder, 'get', 'A')).status, EXIT.notFound);
});

test('what no record can hold is refused, and nothing written', { skip }, async () => {
  const folder = pools({ 1: [] });
  for (const [key, value, message] of [
    ['', 'x', /key is empty/],
    ['k'.repeat(512), 'x', /512 bytes/],
    ['é'.repeat(256), 'x', /512 bytes/],
    ['k', 'v'.repeat(2048), /2048 bytes/],
  ] as const) {
    const { status, err } = await kvp(folder, 'set', key, value);
    assert.equal(status, EXIT.usage);
    assert.match(err, message);
  }
  assert.equal(fs.statSync(poolPath(folder, 1)).size, 0);
});

test('a key or value that a host will see cut is written, with a warning', { skip }, async () => {
  const folder = newFolder();
  assert.match((await kvp(folder, 'set', 'k'.repeat(255), 'x')).err, /key has 255 UTF-16 units/);
  assert.match(
    (await kvp(folder, 'set', 'k', 'v'.repeat(1023))).err,
    /value has 1023 UTF-16 units/,
  );
  assert.equal((await kvp(folder, 'set', 'k'.repeat(254), 'v'.repeat(1022))).err, '');
});

test('the file behind pool auto can be cleared but not filled', { skip }, async () => {
  const folder = pools({ 2: [record('OSName', 'x')] });
  assert.equal((await kvp(folder, 'set', '--pool', 'auto', 'A', 'b')).status, EXIT.usage);
  assert.equal((await kvp(folder, 'delete', '--pool', 'auto', 'OSName')).status, 0);
  assert.equal(fs.statSync(poolPath(folder, 2)).size, 0);
});

test('delete removes a key of the guest pool and keeps the order', { skip }, async () => {
  const folder = pools({ 1: [record('A', '1'), record('B', '2'), record('C', '3')] });
  assert.deepEqual(JSON.parse((await kvp(folder, 'delete', 'B', '--json')).out), {
    pool: 'guest',
    change: 'removed',
    key: 'B',
    previous: '2',
  });
  assert.deepEqual(
    fs.readFileSync(poolPath(folder, 1)),
    Buffer.concat([record('A', '1'), record('C', '3')]),
  );
});

test('list prints one line a record, with the pool unless one is named', { skip }, async () => {
  const folder = pools({
    0: [record('Z', '1'), record('A', 'two\nlines')],
    3: [record('HostName', 'h')],
  });
  assert.equal(
    (await kvp(folder, 'list')).out,
    'external       Z = 1\nexternal       A = two\\nlines\nauto-external  HostName = h\n',
  );
  assert.equal((await kvp(folder, 'list', '--pool', '3')).out, 'HostName = h\n');
  assert.equal(
    (await kvp(folder, 'list', '--pool', '3', '--pool', 'auto-external')).out,
    'HostName = h\n',
  );
});

test('a damaged file is read as far as it goes, with status 4', { skip }, async () => {
  const folder = pools({ 1: [record('A', '1'), record('B', '2').subarray(0, 700)] });
  const listed = await kvp(folder, 'list');
  assert.deepEqual([listed.status, listed.out], [EXIT.damaged, 'guest          A = 1\n']);
  assert.match(listed.err, /warning: .*\.kvp_pool_1: .*partial record/);
  assert.equal((await kvp(folder, 'get', 'A')).status, 0);
  assert.equal((await kvp(folder, 'get', 'B')).status, EXIT.damaged);
});

test('a file that stays locked is status 5', { skip }, async () => {
  const folder = pools({ 1: [record('A', '1')] });
  const fd = fs.openSync(poolPath(folder, 1), 'r+');
  let clockMs = 0;
  const patience = {
    now: () => clockMs,
    wait: async (ms: number) => {
      clockMs += ms;
      return true;
    },
  };
  try {
    assert.ok(native?.tryLock(fd, 'exclusive'));
    const run = vmic(['kvp', 'get', 'A', '--pool-directory', folder], { patience });
    assert.equal(await run.status, EXIT.busy);
    assert.match(run.err, /locked by another program/);
  } finally {
    fs.closeSync(fd);
  }
});

const bin = fileURLToPath(new URL('../../../bin/vmic', import.meta.url));
const unbuilt = fs.existsSync(bin) ? false : 'bin/vmic is not built (npm run build)';

test('reading needs no root, what only root may read or write is status 3', {
  skip: unbuilt || skip,
}, (t) => {
  if (process.getuid?.() !== 0) return t.skip('only root can become somebody else');
  const { error } = spawnSync(process.execPath, ['--version'], {
    uid: 65534,
    gid: 65534,
    cwd: '/',
  });
  if (error) return t.skip(`this Node.js lies where nobody else may go: ${process.execPath}`);
  const folder = pools({ 0: [record('Secret', 'x')], 1: [record('A', '1')] });
  fs.chmodSync(poolPath(folder, 0), 0o600);
  for (let up = folder; up !== '/tmp' && up !== '/'; up = path.dirname(up)) fs.chmodSync(up, 0o755);
  // Nobody may have no way to the tree, so the program comes along
  const copy = path.dirname(folder);
  fs.copyFileSync(bin, path.join(copy, 'vmic.cjs'));
  fs.copyFileSync(
    path.join(path.dirname(bin), '../build/Release/vmic.node'),
    path.join(copy, 'vmic.node'),
  );
  const nobody = (...args: string[]) =>
    spawnSync(
      process.execPath,
      [path.join(copy, 'vmic.cjs'), 'kvp', ...args, '--pool-directory', folder],
      {
        uid: 65534,
        gid: 65534,
        cwd: '/',
        encoding: 'utf8',
      },
    );
  assert.equal(nobody('get', 'A', '--pool', 'guest').stdout, '1\n');
  for (const args of [
    ['get', 'Secret', '--pool', 'external'],
    ['set', 'A', '2'],
    ['delete', 'A'],
  ]) {
    const { status, stderr } = nobody(...args);
    assert.equal(status, EXIT.permission, stderr);
    assert.match(stderr, /\.kvp_pool_[01]: permission denied; try it as root/);
  }
  assert.deepEqual(fs.readFileSync(poolPath(folder, 1)), record('A', '1'));
});

test('each way a pool fails has its status', () => {
  const system = (code: string) => Object.assign(new Error(code), { code });
  for (const [error, exit] of [
    [new PoolError('locked', '/p', 'm'), 'busy'],
    [new PoolError('invalid', '', 'm'), 'usage'],
    [new PoolError('diskFull', '/p', 'm', system('ENOSPC')), 'system'],
    [new PoolError('readOnly', '/p', 'm', system('EROFS')), 'permission'],
    [new PoolError('io', '/p', 'm', system('EIO')), 'system'],
    [new PoolError('io', '/p', 'm', system('EACCES')), 'permission'],
    [new CommandError('damaged', 'm'), 'damaged'],
  ] as const) {
    assert.equal(toCommandError(error).exit, exit);
  }
  assert.throws(() => toCommandError(new TypeError('a bug')), TypeError);
});

test("the folder is the daemon's, as its configuration names it", { skip }, async () => {
  const folder = pools({ 1: [record('A', '1')] });
  const configFile = path.join(path.dirname(folder), 'config.toml');
  fs.writeFileSync(
    configFile,
    `[kvp]\ntransport = "uio:"\npool_directory = ${JSON.stringify(folder)}\n`,
  );
  const run = vmic(['kvp', 'get', 'A'], { configFile });
  assert.deepEqual([await run.status, run.out, run.err], [0, '1\n', '']);

  fs.writeFileSync(configFile, '[kvp]\npool_directory = 1\n');
  const failed = vmic(['kvp', 'list'], { configFile });
  assert.equal(await failed.status, EXIT.usage);
  assert.match(
    failed.err,
    /config\.toml:2: kvp\.pool_directory: expected a string, got 1; mend it, or name the folder/,
  );
  const named = vmic(['kvp', 'get', 'A', '--pool-directory', folder], { configFile });
  assert.deepEqual([await named.status, named.out], [0, '1\n']);
});
