/**
 * What setup, build and test share: the project's folder, running programs, Debian packages, stamps
 * over input files.
 */

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** Ends a script with a message for its user, without a stack. */
export class Failure extends Error {}

/** Ends a script that was called the wrong way with its usage and exit status 2. */
export class UsageError extends Failure {}

/** Runs a script's main function; a Failure becomes a message and exit status 1. */
export async function runMain(main) {
  try {
    process.exitCode = (await main()) ?? 0;
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exitCode = error instanceof UsageError ? 2 : 1;
  }
}

/**
 * Reads a script's command line. The usage text is the script's first comment, from "usage:" on.
 * --help prints it. An unknown option throws a UsageError with it.
 * @param {string} scriptUrl
 * @param {Record<string, { type: string, multiple?: boolean, default?: unknown }>} options as
 *   parseArgs() takes them
 * @returns {{ values: any, positionals: string[] }}
 */
export function parseArguments(
  scriptUrl,
  options = {},
  { allowPositionals = true, args = process.argv.slice(2) } = {},
) {
  const comment = /^\/\*\*\n(.*?)\*\/$/ms.exec(readFileSync(fileURLToPath(scriptUrl), 'utf8'))?.[1];
  const lines = (comment ?? '').replaceAll(/^ \* ?/gm, '').replaceAll('*\\/', '*/');
  const usage = lines.slice(lines.indexOf('usage:')).trimEnd();
  try {
    const all = { ...options, help: { type: 'boolean' } };
    const parsed = parseArgs(/** @type {any} */ ({ args, options: all, allowPositionals }));
    if (!parsed.values.help) return parsed;
  } catch (thrown) {
    const error = /** @type {NodeJS.ErrnoException} */ (thrown);
    if (!error.code?.startsWith('ERR_PARSE_ARGS')) throw error;
    throw new UsageError(`${error.message}\n${usage}`);
  }
  process.stdout.write(`${usage}\n`);
  process.exit(0);
}

export function say(text) {
  process.stderr.write(`${text}\n`);
}

/**
 * Runs a program in the project's folder. Its output is shown, or with `hide` only when it fails.
 * @param {string} program
 * @param {readonly string[]} args
 * @param {{ hide?: boolean, env?: NodeJS.ProcessEnv }} [options]
 */
export function run(program, args, { hide = false, env } = {}) {
  const result = spawnSync(program, args, {
    cwd: root,
    env: { ...process.env, ...env },
    // What a script prints on stdout may be read by a machine (npm start -- --json): the output of
    // helpers goes to stderr.
    stdio: ['ignore', hide ? 'pipe' : 2, hide ? 'pipe' : 2],
    maxBuffer: 256 * 1024 * 1024,
  });
  if (result.error === undefined && result.status === 0) return;
  if (hide)
    process.stderr.write(
      Buffer.concat([result.stdout ?? Buffer.alloc(0), result.stderr ?? Buffer.alloc(0)]),
    );
  const how =
    result.error?.message ??
    (result.signal ? `was ended by ${result.signal}` : `exited with ${result.status}`);
  throw new Failure(`${[program, ...args].join(' ')}: ${how}`);
}

/**
 * What a program prints on stdout; undefined when it is missing or fails.
 * @param {string} program
 * @param {readonly string[]} args
 * @param {{ cwd?: string, env?: NodeJS.ProcessEnv }} [options]
 */
export function capture(program, args, { env, cwd = root } = {}) {
  const result = spawnSync(program, args, {
    cwd,
    env: { ...process.env, ...env },
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
    maxBuffer: 256 * 1024 * 1024,
  });
  return result.status === 0 ? result.stdout : undefined;
}

export function isOnPath(program) {
  return (process.env.PATH ?? '')
    .split(':')
    .some((folder) => folder !== '' && existsSync(join(folder, program)));
}

export const isRoot = process.getuid?.() === 0;
export const isDebian = existsSync('/etc/debian_version') && isOnPath('apt-get');

/**
 * Installs Debian packages when this is root on Debian; otherwise says which line does it.
 * @param why what is missing, for the message
 */
export function installDebianPackages(packages, why) {
  const line = `apt-get install -y --no-install-recommends ${packages.join(' ')}`;
  if (!isDebian) throw new Failure(`${why}. On Debian this installs what is missing: ${line}`);
  if (!isRoot) throw new Failure(`${why}. Run this once, then try again:\n  sudo ${line}`);
  say(`${why}: installing ${packages.join(', ')}`);
  const env = { DEBIAN_FRONTEND: 'noninteractive' };
  const args = [
    '-o',
    'DPkg::Lock::Timeout=300',
    'install',
    '-y',
    '--no-install-recommends',
    ...packages,
  ];
  if (capture('apt-get', args, { env }) !== undefined) return;
  // No package lists yet, or old ones that name versions which the mirror no longer has.
  run('apt-get', ['update'], { hide: true, env });
  run('apt-get', args, { hide: true, env });
}

/**
 * The files below the given paths (relative to the project), sorted; a path that is missing has
 * none.
 * @param {readonly string[]} paths
 * @param {(path: string) => boolean} accept
 */
export function listFiles(paths, accept = () => true) {
  const files = [];
  const visit = (path) => {
    const stat = statSync(join(root, path), { throwIfNoEntry: false });
    if (stat === undefined) return;
    if (!stat.isDirectory()) {
      if (accept(path)) files.push(path);
      return;
    }
    for (const name of readdirSync(join(root, path))) {
      if (name !== 'node_modules' && !name.startsWith('.')) visit(join(path, name));
    }
  };
  for (const path of paths) visit(path);
  return files.sort();
}

/** One hash over the content of files and further facts a result depends on. */
export function fingerprint(files, facts) {
  const hash = createHash('sha256').update(JSON.stringify(facts));
  for (const file of files) hash.update(`\0${file}\0`).update(readFileSync(join(root, file)));
  return hash.digest('hex');
}

/** True when `stampFile` says that its result was made from these inputs. */
export function isCurrent(stampFile, print) {
  const path = join(root, stampFile);
  return existsSync(path) && readFileSync(path, 'utf8') === print;
}

export function writeStamp(stampFile, print) {
  mkdirSync(dirname(join(root, stampFile)), { recursive: true });
  writeFileSync(join(root, stampFile), print);
}

/**
 * Runs `work` while no other script of this project does the same in this clone. Node has no file
 * locks, so flock(1) of util-linux holds it around this same command, started anew; `work` then
 * runs in that child.
 */
export function locked(name, work) {
  if (process.env.VMIC_SCRIPT_LOCK === name || !isOnPath('flock')) return work();
  mkdirSync(join(root, '.cache'), { recursive: true });
  const result = spawnSync(
    'flock',
    [join(root, '.cache', `${name}.lock`), process.execPath, ...process.argv.slice(1)],
    {
      stdio: 'inherit',
      env: { ...process.env, VMIC_SCRIPT_LOCK: name },
    },
  );
  if (result.error !== undefined) throw result.error;
  return result.status ?? 1;
}
