/**
 * The example hook for PostgreSQL, and what a snapshot of a frozen database holds: data and WAL on
 * two file systems, under load.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { FreezeRecord } from '../../../daemons/vss/freeze/status.ts';
import { missingScratch, Scratch } from '../../../simulator/stages/scratch.ts';

const main = path.join(import.meta.dirname, '../../../cli/main.ts');
const example = path.join(import.meta.dirname, '../../../packaging/examples/vss.d/postgresql');
const PORT = '54329';

function findBin(): string | undefined {
  const root = '/usr/lib/postgresql';
  const versions = fs.existsSync(root)
    ? fs.readdirSync(root).sort((a, b) => Number(b) - Number(a))
    : [];
  return versions
    .map((v) => path.join(root, v, 'bin'))
    .find((bin) => fs.existsSync(path.join(bin, 'pgbench')));
}
const bin = findBin();
const isUser =
  fs.existsSync('/etc/passwd') && /^postgres:/m.test(fs.readFileSync('/etc/passwd', 'utf8'));
const skip =
  missingScratch() ??
  (bin === undefined || !isUser
    ? 'PostgreSQL is not installed (apt-get install postgresql postgresql-contrib)'
    : false);

describe('a PostgreSQL under load', { skip, timeout: 600_000 }, () => {
  let scratch: Scratch;
  let sockets: string;
  let data: string;
  const asPostgres = (program: string, ...args: string[]): string[] => [
    'runuser',
    '-u',
    'postgres',
    '--',
    path.join(bin!, program),
    ...args,
  ];
  const run = (program: string, ...args: string[]): string => {
    const [first, ...rest] = asPostgres(program, ...args);
    return scratch.run(first!, ...rest);
  };
  const connection = (): string[] => ['--host', sockets, '--port', PORT];
  const ask = (query: string): string =>
    run('psql', ...connection(), '--no-psqlrc', '-At', '--dbname=postgres', '-c', query).trim();
  const control = (...args: string[]): string =>
    run('pg_ctl', '--pgdata', data, '--wait', '--log', path.join(sockets, 'log'), ...args);

  before(async () => {
    scratch = await Scratch.create({ kinds: ['ext4', 'ext4'], sizeMiB: 300 });
    fs.chmodSync(scratch.shared, 0o755);
    sockets = path.join(scratch.shared, 'postgresql');
    fs.mkdirSync(sockets);
    const [first, second] = scratch.fileSystems.map(({ mountPoint }) => mountPoint) as [
      string,
      string,
    ];
    scratch.run('chmod', '755', scratch.folder);
    scratch.run('chown', 'postgres', sockets, first, second);
    data = path.join(first, 'data');
    run(
      'initdb',
      '--pgdata',
      data,
      '--waldir',
      path.join(second, 'wal'),
      '--auth=trust',
      '--no-sync',
    );
    const settings =
      `port = ${PORT}\nlisten_addresses = ''\nunix_socket_directories = ` +
      `'${sockets}'\nmax_wal_size = '128MB'\n`;
    scratch.run(
      'sh',
      '-c',
      'printf %s "$1" >> "$2"',
      'sh',
      settings,
      path.join(data, 'postgresql.conf'),
    );
    control('start');
    run('pgbench', ...connection(), '--initialize', '--scale=3', '--quiet', 'postgres');
  });
  after(async () => {
    try {
      control('stop', '--mode=immediate');
    } finally {
      await scratch.dispose();
    }
  });

  /** What every transaction of pgbench keeps equal, and how many there were. */
  function balance(): number {
    const sums = ask(
      'SELECT (SELECT sum(abalance) FROM pgbench_accounts), (SELECT sum(bbalance) FROM ' +
        'pgbench_branches), (SELECT sum(tbalance) FROM pgbench_tellers), (SELECT sum(delta) ' +
        'FROM pgbench_history), (SELECT count(*) FROM pgbench_history)',
    ).split('|');
    assert.equal(new Set(sums.slice(0, 4)).size, 1, sums.join(' '));
    return Number(sums[4]);
  }

  it('is checkpointed before the freeze, and whole in a snapshot of it', async () => {
    const hooks = path.join(scratch.shared, 'vss.d');
    fs.mkdirSync(hooks);
    const wrapper =
      `#!/bin/sh\nVSS_POSTGRESQL_CLUSTERS="postgres ${sockets} ${PORT}" exec ${example} ` +
      `"$1"\n`;
    fs.writeFileSync(path.join(hooks, '50-postgresql'), wrapper, { mode: 0o755 });
    const [enter, ...load] = scratch.enter(
      asPostgres('pgbench', ...connection(), '--client=4', '--time=600', '--no-vacuum', 'postgres'),
    );
    const pgbench = spawn(enter, load, { stdio: 'ignore' });
    while (Number(ask('SELECT count(*) FROM pgbench_history')) < 500) await pause(50);
    const checkpoints = (): number => Number(ask('SELECT checkpoints_req FROM pg_stat_bgwriter'));
    const requested = checkpoints();
    const committed = Number(ask('SELECT count(*) FROM pgbench_history'));

    const keys = { status_file: 'status.json', record_file: 'record', hooks_directories: 'vss.d' };
    const settings = Object.entries(keys).flatMap(([key, name]) => [
      '--set',
      `vss.${key}=${path.join(scratch.shared, name)}`,
    ]);
    const args = [
      '--import',
      'tsx',
      main,
      'vss',
      'freeze',
      '--for',
      '10m',
      '--yes',
      '--json',
      ...settings,
    ];
    const [node, ...rest] = scratch.enter([process.execPath, ...args]);
    const freezing = spawn(node, rest, { stdio: ['ignore', 'pipe', 'inherit'] });
    let out = '';
    freezing.stdout.on('data', (chunk) => {
      out += chunk;
    });
    const ended = once(freezing, 'close');
    await frozen();
    const copies = scratch.fileSystems.map(({ source }, i) => {
      const copy = path.join(scratch.shared, `copy${i}`);
      scratch.run('dd', `if=${source}`, `of=${copy}`, 'bs=1M', 'iflag=direct', 'status=none');
      return copy;
    });
    freezing.kill('SIGINT');
    await ended;
    const record: FreezeRecord = JSON.parse(out);
    assert.deepEqual(
      record.volumes.map(({ outcome }) => outcome),
      ['frozen', 'frozen'],
    );
    assert.deepEqual(
      record.hooks.map(({ argument, problem }) => [argument, problem]),
      [
        ['freeze', undefined],
        ['thaw', undefined],
      ],
    );
    assert.ok(checkpoints() > requested, 'the hook asked for a checkpoint');

    // It goes on as if nothing had been
    const before = Number(ask('SELECT count(*) FROM pgbench_history'));
    while (Number(ask('SELECT count(*) FROM pgbench_history')) < before + 100) await pause(50);
    pgbench.kill('SIGTERM');
    await once(pgbench, 'exit');
    control('stop', '--mode=fast');

    // The snapshot in its place: it recovers by itself
    for (const [i, { mountPoint }] of scratch.fileSystems.entries()) {
      scratch.run('umount', mountPoint);
      assert.ok(scratch.try('e2fsck', '-fn', copies[i]!).ok, 'the copy is a clean file system');
      scratch.run('mount', '-o', 'loop', copies[i]!, mountPoint);
    }
    // Of a process that a restored guest does not have; here it may still wait to be reaped
    scratch.run('rm', path.join(data, 'postmaster.pid'));
    try {
      control('start');
    } catch (error) {
      throw new Error(
        `${(error as Error).message}: ` +
          `${fs.readFileSync(path.join(sockets, 'log'), 'utf8').slice(-2000)}`,
      );
    }
    assert.ok(balance() >= committed, 'all that was committed before the freeze is there');
    run('pg_amcheck', ...connection(), '--install-missing', '--heapallindexed', 'postgres');
    assert.match(
      fs.readFileSync(path.join(sockets, 'log'), 'utf8'),
      /was interrupted.*redo (starts|is not required)|redo done/s,
    );
  });

  const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
  /** A write waits, and goes on after the thaw. */
  async function frozen(): Promise<void> {
    for (;;) {
      const [enter, ...rest] = scratch.enter(['touch', `${scratch.fileSystems[1]!.mountPoint}/x`]);
      const written = once(spawn(enter, rest), 'exit').then(() => true);
      if (!(await Promise.race([written, pause(500).then(() => false)]))) return;
    }
  }
});
