/**
 * Runs the daemon of a service from its source on the simulated host, which plays the service's
 * scenes again and again. Shows what goes over the wire and what the daemon logs. Starts anew when
 * a source changes. Needs no root. Ctrl-C ends it.
 *
 * usage: npm run dev -- SERVICE [OPTION...]     kvp, vss, fcopy, heartbeat, shutdown, timesync
 *   --bad                also plays bad hosts
 *   --transport WIRE     unix, unix-ring or both (default)
 *   --inspect PORT       lets a debugger attach to the daemon on 127.0.0.1, usually 9229
 *   --wait               the daemon waits for the debugger before it begins
 *   --profile            writes a CPU profile of each daemon into .cache/dev when it ends
 */

import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { capture, Failure, parseArguments, root, runMain, say, UsageError } from './support.mjs';
import { runOnChange } from './watch.mjs';

const FOLDER = join(root, '.cache/dev');
/** Between two runs of the scenes. */
const AGAIN_MS = 4000;
const SIMULATE = [
  ...['--import', 'tsx', '--input-type=module', '--eval'],
  "const { simulate } = await import('./simulator/main.ts');" +
    'process.exitCode = await simulate(process.argv.slice(1));',
  '--',
];

/** Writes a program for each daemon and for `vmic`, which runs its source. */
function writePrograms() {
  mkdirSync(FOLDER, { recursive: true });
  writeFileSync(join(FOLDER, 'package.json'), '{"type":"commonjs"}\n');
  const run = JSON.stringify(join(root, 'scripts/dev-program.cjs'));
  const write = (program, entry) =>
    writeFileSync(
      join(FOLDER, program),
      `require(${run})(${JSON.stringify(join(root, entry))}, ${program !== 'vmic'});\n`,
    );
  write('vmic', 'cli/main.ts');
  const services = readdirSync(join(root, 'daemons')).filter((name) =>
    existsSync(join(root, 'daemons', name, 'main.ts')),
  );
  for (const name of services) write(`vmic-${name}`, `daemons/${name}/main.ts`);
  return services;
}

/** Returns the names of what the simulated host plays for a service. */
function scenesOf(service, withBad, wire) {
  const list = capture(process.execPath, [...SIMULATE, '--list', '--json']);
  if (list === undefined) throw new Failure('the simulated host does not start: npm run check');
  const all = list
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));
  const own = all.filter(
    ({ service: of = 'kvp', wires }) => of === service && (wire === 'both' || wires.includes(wire)),
  );
  const isGood = ({ manner, live }) => manner === 'good' || live === true;
  return own.filter((one) => withBad || isGood(one)).map(({ name }) => name);
}

await runMain(async () => {
  const { values, positionals } = parseArguments(import.meta.url, {
    bad: { type: 'boolean' },
    transport: { type: 'string', default: 'both' },
    inspect: { type: 'string' },
    wait: { type: 'boolean' },
    profile: { type: 'boolean' },
  });
  const services = writePrograms();
  const [service] = positionals;
  if (positionals.length !== 1 || !services.includes(service))
    throw new UsageError(`usage: npm run dev -- SERVICE, which is one of ${services.join(', ')}`);
  const scenes = scenesOf(service, values.bad, values.transport);
  if (scenes.length === 0)
    throw new UsageError(`--transport ${values.transport}: nothing to play for ${service} there`);
  const env = {
    ...process.env,
    VMIC_PROGRAMS: FOLDER,
    ...(values.inspect && { VMIC_DEV_INSPECT: `127.0.0.1:${values.inspect}` }),
    ...(values.wait && { VMIC_DEV_INSPECT_WAIT: '1' }),
    ...(values.profile && { VMIC_DEV_PROFILE: FOLDER }),
  };
  const args = scenes.flatMap((name) => ['--behaviour', name]);
  const start = () =>
    spawn(process.execPath, [...SIMULATE, '--transport', values.transport, ...args], {
      cwd: root,
      env,
      stdio: ['ignore', 'inherit', 'inherit'],
      detached: true,
    });
  await runOnChange(start, (path) => say(`\n${path} changed: starting anew`), {
    againMs: AGAIN_MS,
  });
  for (const program of ['vmic', ...services.map((name) => `vmic-${name}`)])
    rmSync(join(FOLDER, program), { force: true });
  return 0;
});
