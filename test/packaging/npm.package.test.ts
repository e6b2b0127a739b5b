/** The npm package, as `npm pack` makes it. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const { version } = JSON.parse(fs.readFileSync(path.join(root, 'package.json'), 'utf8')) as {
  version: string;
};

const work = fs.mkdtempSync(path.join(os.tmpdir(), 'vmic-npm-'));
after(() => fs.rmSync(work, { recursive: true, force: true }));

function succeed(program: string, args: readonly string[], cwd = root): string {
  const { status, stdout, stderr, error } = spawnSync(program, args, { cwd, encoding: 'utf8' });
  if (error !== undefined) throw error;
  assert.equal(status, 0, `${program} ${args.join(' ')}\n${stdout}${stderr}`);
  return stdout;
}

/**
 * Somebody's own test: what was recorded is decoded, and the daemon of the package answers a
 * simulated host.
 */
const NPM_USER = `
import fs from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Stage } from 'vmic/host/stage';
import { native } from 'vmic/native';
import { decodeIcMessage, IC_NEGOTIATE } from 'vmic/protocol/ic/packet';
import { version } from 'vmic/protocol/ic/version';
import { kvpProtocol } from 'vmic/protocol/services/kvp';
import { parseTrace, type TracePacket } from 'vmic/protocol/trace/trace';

const file = fileURLToPath(import.meta.resolve('vmic/fixtures/kvp/auto-pool.trace'));
const packets = parseTrace(fs.readFileSync(file, 'utf8')).entries.filter(
  (entry): entry is TracePacket => entry.kind === 'packet',
);
const operations = new Set<string>();
let firstKey: string | undefined;
let request: ReturnType<typeof kvpProtocol.ic.decodeRequest> | undefined;
for (const { direction, payload } of packets) {
  const { header, body } = decodeIcMessage(payload);
  if (header.messageType === IC_NEGOTIATE) continue;
  if (direction === 'h2g') {
    request = kvpProtocol.ic.decodeRequest(body, version(4, 0));
    operations.add(request.operation);
  } else if (request !== undefined) {
    firstKey ??= kvpProtocol.ic.decodeReply(body, version(4, 0), request, header.status).key;
  }
}
const stage = await Stage.open('unix', { native });
const items = await stage.host.enumerate(2);
await stage.close();
const daemonsKey = items[0]?.key;
console.log(JSON.stringify({ operations: [...operations], recordedKey: firstKey, daemonsKey }));
`;

test('installs elsewhere, is imported there, and decodes a recording', () => {
  const folder = path.join(work, 'npm');
  const user = path.join(work, 'user');
  for (const made of [folder, user]) fs.mkdirSync(made);
  succeed('npm', ['pack', '--silent', '--pack-destination', folder]);
  const archive = path.join(folder, fs.readdirSync(folder)[0]!);
  fs.writeFileSync(
    path.join(user, 'package.json'),
    '{"name":"user","private":true,"type":"module"}\n',
  );
  succeed('npm', ['install', '--no-audit', '--no-fund', archive], user);
  // What somebody would write who tests against recorded traffic, with types
  fs.writeFileSync(path.join(user, 'user.ts'), NPM_USER);
  const tsc = path.join(root, 'node_modules/.bin/tsc');
  const types = path.join(root, 'node_modules/@types');
  const options = [
    '--target',
    'es2022',
    '--module',
    'nodenext',
    '--strict',
    '--types',
    'node',
    '--typeRoots',
    types,
  ];
  succeed(tsc, [...options, 'user.ts'], user);
  const said = succeed(process.execPath, ['user.js'], user);
  assert.deepEqual(JSON.parse(said), {
    operations: ['enumerate'],
    recordedKey: 'FullyQualifiedDomainName',
    daemonsKey: 'FullyQualifiedDomainName',
  });
  const command = path.join(user, 'node_modules/.bin/vmic');
  assert.match(succeed(command, ['--version']), new RegExp(version.replaceAll('.', '\\.')));
  // The addon for this machine is there, without a compiler
  fs.mkdirSync(path.join(user, 'pools'));
  succeed(command, ['kvp', 'set', 'Ready', 'yes', '--pool-directory', path.join(user, 'pools')]);
});
