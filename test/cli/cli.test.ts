import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { completionScript, SHELLS, safeWords } from '../../cli/completion/script.ts';
import { EXIT } from '../../cli/exit.ts';
import { VERSION } from '../../runtime/version.ts';
import { newFolder, poolPath, record } from '../daemons/kvp/pools/folder.ts';
import { skip, vmic } from './run.ts';

const bin = fileURLToPath(new URL('../../bin/vmic', import.meta.url));
const unbuilt = fs.existsSync(bin) ? false : 'bin/vmic is not built (npm run build)';
const needsAll = unbuilt || skip;

function guestPool(...records: readonly Buffer[]): string {
  const folder = newFolder();
  fs.mkdirSync(folder);
  fs.writeFileSync(poolPath(folder, 1), Buffer.concat(records));
  return folder;
}

for (const [args, message] of [
  [[], /a command is missing/],
  [['kvp'], /get, set, list, delete or watch/],
  [['kvp', 'gte', 'A'], /Did you mean get/],
  [['nonsense'], /Unknown/],
  [['kvp', 'get'], /Not enough/],
  [['kvp', 'get', 'A', 'B'], /Unknown argument: B/],
  [['kvp', 'list', '--poll', '1'], /Unknown argument: poll/],
  [['kvp', 'list', '--pool', '5'], /"auto-internal", "0"/],
  [['kvp', 'list', '--pool'], /pool/],
  [['kvp', 'set', 'A', 'b', '--pool', '0', '--pool', '1'], /give --pool once/],
  [
    ['kvp', 'list', '--pool-directory', '/a', '--pool-directory', '/b'],
    /give --pool-directory once/,
  ],
  [['kvp', 'watch', '--until', 'A', '--until', 'B'], /give --until once/],
  [['kvp', 'watch', '--timeout', '1', '--timeout', '2'], /give --timeout once/],
  [['kvp', 'watch', '--timeout', '1h'], /--timeout 1h: expected seconds/],
  [['kvp', 'watch', '--timeout', '-1'], /./],
  [['completion', 'tcsh'], /"bash", "zsh", "fish"/],
  [['simulate'], /Unknown/],
] as const) {
  test(`wrong usage: vmic ${args.join(' ')}`, { skip }, async () => {
    const run = vmic(args);
    assert.equal(await run.status, EXIT.usage);
    assert.match(run.err, message);
    assert.equal(run.out, '');
  });
}

test('help and version need no addon', { skip: unbuilt }, () => {
  const folder = fs.mkdtempSync(path.join(path.dirname(newFolder()), 'bare-'));
  fs.copyFileSync(bin, path.join(folder, 'vmic.cjs'));
  const run = (...args: string[]) =>
    spawnSync(process.execPath, [path.join(folder, 'vmic.cjs'), ...args], { encoding: 'utf8' });
  assert.equal(run('--version').stdout, `${VERSION}\n`);
  for (const args of [['--help'], ['kvp', '--help'], ['kvp', 'watch', '--help']]) {
    const { status, stdout, stderr } = run(...args);
    assert.deepEqual([status, stderr], [0, '']);
    assert.match(stdout, /vmic/);
  }
});

test('the help explains exit statuses, pools and every command', async () => {
  const help = async (...args: string[]): Promise<string> => {
    const run = spawnSync(process.execPath, ['--import', 'tsx', 'cli/main.ts', ...args, '--help'], {
      encoding: 'utf8',
      cwd: fileURLToPath(new URL('../..', import.meta.url)),
    });
    assert.equal(run.status, 0, run.stderr);
    return run.stdout;
  };
  const [top, kvp, get] = await Promise.all([help(), help('kvp'), help('kvp', 'get')]);
  for (const status of Object.values(EXIT)) assert.match(top, new RegExp(`^  ${status}  `, 'm'));
  for (const word of ['external', 'guest', 'auto-external', 'watch'])
    assert.match(kvp, new RegExp(word));
  assert.match(get, /vmic kvp get --pool external Role/);
  for (const text of [top, kvp, get]) {
    assert.ok(
      text.split('\n').every((line) => line.length <= 80),
      text,
    );
  }
});

/** What bash is given for the words of a command line; the last one is being written. */
const propose = (...words: string[]): string[] => {
  const { status, stdout, stderr } = spawnSync(bin, ['--get-yargs-completions', 'vmic', ...words], {
    encoding: 'utf8',
    env: { ...process.env, SHELL: 'bash', ZSH_NAME: '' },
  });
  assert.deepEqual([status, stderr], [0, '']);
  return stdout.split('\n').slice(0, -1);
};

test('completion proposes commands, pools, and the keys there are', { skip: needsAll }, () => {
  const folder = guestPool(
    record('Ready', '1'),
    record('$(touch pwned)', '1'),
    record('a b', '1'),
    record('-x', '1'),
  );
  assert.deepEqual(propose('kvp', ''), ['get', 'set', 'list', 'delete', 'watch']);
  assert.deepEqual(propose('vss', ''), ['status', 'plan', 'freeze', 'thaw']);
  assert.ok(propose('vss', 'freeze', '--f').includes('--for'));
  assert.ok(propose('kvp', 'get', '--pool', '').includes('auto-external'));
  const proposed = propose('kvp', 'get', '--pool-directory', folder, '');
  assert.ok(proposed.includes('Ready'));
  // Nothing a shell would run, split, or take for an option
  assert.deepEqual(
    proposed.filter((word) => /[$ ]|^-x/.test(word)),
    [],
  );
});

test('a command line that is being completed is not run', { skip: unbuilt }, () => {
  const file = newFolder();
  assert.deepEqual(
    propose('timesync', 'status', '--status-file', file, '--').filter((word) => /run/.test(word)),
    [],
  );
});

test('words from a pool that a shell would act on are not proposed', () => {
  const bad = [
    '$(id)',
    '`id`',
    'a;b',
    'a b',
    "a'b",
    'a"b',
    'a\nb',
    '-rf',
    'a&b',
    'a|b',
    '~',
    '*',
    'a:b',
    '',
    'a\\b',
    'a>b',
    '!1',
  ];
  assert.deepEqual(safeWords([...bad, 'Ready', 'größe', 'a.b/c_d-e@f', 'Ready']), [
    'Ready',
    'größe',
    'a.b/c_d-e@f',
  ]);
});

for (const shell of SHELLS) {
  test(`the completion script is valid ${shell}`, (t) => {
    // fish takes no script from a pipe that it only is to check
    const file = newFolder();
    fs.writeFileSync(file, completionScript(shell));
    const { error, status, stderr } = spawnSync(shell, ['-n', file], { encoding: 'utf8' });
    if (error !== undefined) return t.skip(`${shell} is not installed`);
    assert.equal(status, 0, stderr);
  });
}

test('bash completes a key', { skip: needsAll }, (t) => {
  const folder = guestPool(record('ReadyNow', '1'), record('Other', '1'));
  const script = [
    completionScript('bash'),
    `COMP_WORDS=(vmic kvp get --pool-directory '${folder}' Rea); COMP_CWORD=5; _vmic`,
    `printf '%s|' "\${COMPREPLY[@]}"`,
  ].join('\n');
  const environment = { ...process.env, PATH: `${path.dirname(bin)}:${process.env['PATH']}` };
  const { error, stdout, stderr } = spawnSync('bash', ['-c', script], {
    encoding: 'utf8',
    env: environment,
  });
  if (error !== undefined) return t.skip('bash is not installed');
  assert.equal(stdout, 'ReadyNow|', stderr);
});

test('zsh completes a key', { skip: needsAll }, (t) => {
  const folder = guestPool(record('ReadyNow', '1'), record('Other', '1'));
  // Stand for zsh's own completion, which needs a terminal
  const script = [
    `compdef() { : }; _default() { : }; _describe() { print -rl -- \${(P)2} }`,
    completionScript('zsh'),
    `words=(vmic kvp get --pool-directory '${folder}' Rea); CURRENT=6; _vmic`,
  ].join('\n');
  const { error, stdout, stderr } = spawnSync('zsh', ['-f', '-c', script], {
    encoding: 'utf8',
    env: { ...process.env, PATH: `${path.dirname(bin)}:${process.env['PATH']}` },
  });
  if (error !== undefined) return t.skip('zsh is not installed');
  assert.match(stdout, /^ReadyNow$/m, stderr);
});

test('fish completes a key', { skip: needsAll }, (t) => {
  const folder = guestPool(record('ReadyNow', '1'), record('Other', '1'));
  const script = [
    completionScript('fish'),
    `complete -C 'vmic kvp get --pool-directory ${folder} Rea'`,
  ].join('\n');
  const environment = {
    ...process.env,
    PATH: `${path.dirname(bin)}:${process.env['PATH']}`,
    HOME: folder,
  };
  const { error, stdout, stderr } = spawnSync('fish', ['-c', script], {
    encoding: 'utf8',
    env: environment,
  });
  if (error !== undefined) return t.skip('fish is not installed');
  assert.equal(stdout, 'ReadyNow\n', stderr);
});

test('a reader that has seen enough is no error', { skip: needsAll }, async () => {
  const many = Array.from({ length: 5000 }, (_, i) => record(`key ${i}`, 'v'.repeat(100)));
  const child = spawn(bin, ['kvp', 'list', '--pool-directory', guestPool(...many)], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let err = '';
  child.stderr.on('data', (chunk) => {
    err += chunk;
  });
  child.stdout.once('data', () => child.stdout.destroy());
  const [status] = await once(child, 'close');
  assert.deepEqual([status, err], [0, '']);
});

test('Ctrl-C ends a watch by its signal', { skip: needsAll }, async () => {
  const folder = guestPool(record('A', '1'));
  const child = spawn(bin, ['kvp', 'watch', '--pool-directory', folder], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  // It watches as soon as a change shows
  const poke = setInterval(
    () => fs.writeFileSync(poolPath(folder, 1), record('A', String(Math.random()))),
    20,
  );
  await once(child.stdout, 'data');
  clearInterval(poke);
  child.kill('SIGINT');
  assert.deepEqual(await once(child, 'close'), [null, 'SIGINT']);
});
