/**
 * Debian's C daemon as the reference that ours is compared with, and how to run either of them without Hyper-V: under
 * preload/hv_device.c, which turns `/dev/vmbus/hv_kvp` into a seqpacket socket.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

const root = path.dirname(path.dirname(import.meta.dirname));
const cache = path.join(root, '.cache');

export const preloadSource = path.join(import.meta.dirname, 'preload/hv_device.c');
export const ownDaemon = path.join(root, 'bin/vmic-kvp');

/**
 * One of Debian's daemons: unpacked in .cache/hyperv-daemons, installed, or fetched (not installed) with apt-get. Undefined where
 * there is none.
 */
export function findCDaemon(name: 'hv_kvp_daemon' | 'hv_vss_daemon' = 'hv_kvp_daemon'): string | undefined {
  const unpacked = path.join(cache, 'hyperv-daemons/usr/sbin', name);
  const there = [unpacked, path.join('/usr/sbin', name)].find((file) => fs.existsSync(file));
  if (there !== undefined || !fs.existsSync('/etc/debian_version')) return there;
  fs.mkdirSync(cache, { recursive: true });
  const work = fs.mkdtempSync(path.join(cache, 'fetch-'));
  try {
    spawnSync('apt-get', ['-q', 'download', 'hyperv-daemons'], { cwd: work, stdio: 'ignore' });
    const deb = fs.readdirSync(work).find((name) => name.endsWith('.deb'));
    if (deb === undefined) return undefined;
    const tree = path.join(work, 'tree');
    if (spawnSync('dpkg-deb', ['-x', path.join(work, deb), tree], { stdio: 'ignore' }).status !== 0) return undefined;
    // Another process may have been faster
    if (!fs.existsSync(unpacked)) fs.renameSync(tree, path.join(cache, 'hyperv-daemons'));
    return unpacked;
  } finally {
    fs.rmSync(work, { recursive: true, force: true });
  }
}

/** Why the comparison can't be made here; undefined when it can. */
export const missingReference = (...name: Parameters<typeof findCDaemon>): string | undefined =>
  spawnSync('cc', ['--version'], { stdio: 'ignore' }).status !== 0
    ? 'no C compiler (cc) for the preload shim'
    : findCDaemon(...name) === undefined
      ? `no ${name[0] ?? 'hv_kvp_daemon'}: neither installed nor to be had with 'apt-get download hyperv-daemons'`
      : undefined;

/** Compiles one C file, once for each content; gives the program's (or shared library's) path. */
export function compile(source: string, kind: 'program' | 'shared'): string {
  const print = createHash('sha256').update(kind).update(os.arch()).update(fs.readFileSync(source)).digest('hex');
  const name = path.basename(source, '.c');
  const output = path.join(cache, 'compat', `${name}-${print.slice(0, 16)}${kind === 'shared' ? '.so' : ''}`);
  if (fs.existsSync(output)) return output;
  fs.mkdirSync(path.dirname(output), { recursive: true });
  const temporary = `${output}.${process.pid}`;
  const flags = kind === 'shared' ? ['-shared', '-fPIC'] : [];
  const result = spawnSync('cc', ['-O2', '-Wall', '-Wextra', '-Werror', ...flags, '-o', temporary, source, '-ldl'], {
    encoding: 'utf8',
  });
  if (result.status !== 0) throw new Error(`${source} does not compile: ${result.error?.message ?? result.stderr}`);
  fs.renameSync(temporary, output);
  return output;
}

/** The environment in which a daemon finds the device at `socketPath`, and /var/lib/hyperv at `poolFolder`. */
export const shimmed = (socketPath: string, poolFolder?: string): Record<string, string> => ({
  LD_PRELOAD: compile(preloadSource, 'shared'),
  VMIC_SHIM_DEVICE: socketPath,
  ...(poolFolder === undefined ? {} : { VMIC_SHIM_POOLS: poolFolder }),
});
