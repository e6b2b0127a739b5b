/**
 * Debian's C daemon as the reference that ours is compared with, and how to run either of them
 * without Hyper-V: under preload/hv_device.c, which turns `/dev/vmbus/hv_kvp` into a seqpacket
 * socket.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { native } from '../../native/index.ts';

const root = path.dirname(path.dirname(import.meta.dirname));
const cache = path.join(root, '.cache');

export const preloadSource = path.join(import.meta.dirname, 'preload/hv_device.c');
export const fcopyPreloadSource = path.join(import.meta.dirname, 'preload/fcopy_device.c');
export const ownDaemon = path.join(root, 'bin/vmic-kvp');

/**
 * One of Debian's daemons: unpacked in .cache/hyperv-daemons, installed, or fetched (not installed)
 * with apt-get. Undefined where there is none.
 */
export function findCDaemon(
  name: 'hv_kvp_daemon' | 'hv_vss_daemon' | 'hv_fcopy_daemon' = 'hv_kvp_daemon',
): string | undefined {
  const tree = path.join(cache, 'hyperv-daemons');
  const unpacked = path.join(tree, 'usr/sbin', name);
  const there = [unpacked, path.join('/usr/sbin', name)].find((file) => fs.existsSync(file));
  if (there !== undefined || fs.existsSync(tree)) return there;
  fetchPackage('hyperv-daemons', tree, (deb, work) => {
    const fresh = path.join(work, 'tree');
    if (spawnSync('dpkg-deb', ['-x', deb, fresh], { stdio: 'ignore' }).status === 0)
      fs.renameSync(fresh, tree);
  });
  return fs.existsSync(unpacked) ? unpacked : undefined;
}

/**
 * Downloads a Debian package, without installing it, and has it used; nothing happens where it
 * can't be had. Test files run side by side: one of them fetches, the others wait for `result`.
 */
function fetchPackage(
  name: string,
  result: string,
  use: (deb: string, work: string) => void,
): void {
  if (!fs.existsSync('/etc/debian_version')) return;
  fs.mkdirSync(cache, { recursive: true });
  const lock = fs.openSync(path.join(cache, 'fetch.lock'), 'w');
  while (!native.tryLock(lock, 'exclusive'))
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100);
  const work = fs.mkdtempSync(path.join(cache, 'fetch-'));
  try {
    if (fs.existsSync(result)) return;
    spawnSync('apt-get', ['-q', 'download', name], { cwd: work, stdio: 'ignore' });
    const deb = fs.readdirSync(work).find((name) => name.endsWith('.deb'));
    if (deb !== undefined) use(path.join(work, deb), work);
  } finally {
    fs.rmSync(work, { recursive: true, force: true });
    fs.closeSync(lock);
  }
}

const UIO_SOURCES = [
  'tools/hv/hv_fcopy_uio_daemon.c',
  'tools/hv/vmbus_bufring.c',
  'tools/hv/vmbus_bufring.h',
];
const UIO_HEADER = 'include/uapi/linux/hyperv.h';

/**
 * The file copy daemon of kernels from 6.10 on, which Debian 12 and 13 have only as source
 * (tools/hv of linux-source-6.12): built in .cache/fcopy-uio, once. Undefined where it can't be.
 */
export function findUioDaemon(): string | undefined {
  const folder = path.join(cache, 'fcopy-uio');
  const program = path.join(folder, 'hv_fcopy_uio_daemon');
  // Its Makefile leaves it out elsewhere: it has x86 instructions
  if (os.arch() !== 'x64') return undefined;
  if (fs.existsSync(program)) return program;
  fetchPackage('linux-source-6.12', program, (deb, work) => {
    const unpack =
      'deb=$1; shift; dpkg-deb --fsys-tarfile "$deb" | tar -xO --wildcards "*.tar.xz" | tar ' +
      '-xJ --strip-components=1 --wildcards "$@"';
    const patterns = [...UIO_SOURCES, UIO_HEADER].map((file) => `*/${file}`);
    spawnSync('sh', ['-c', unpack, 'sh', deb, ...patterns], { cwd: work, stdio: 'ignore' });
    // hyperv.h of this kernel, all else of this machine
    const headers = path.join(work, 'headers/linux');
    fs.mkdirSync(headers, { recursive: true });
    const built = path.join(work, 'built');
    fs.mkdirSync(built);
    try {
      fs.copyFileSync(path.join(work, UIO_HEADER), path.join(headers, 'hyperv.h'));
    } catch {
      return;
    }
    const sources = UIO_SOURCES.filter((file) => file.endsWith('.c')).map((file) =>
      path.join(work, file),
    );
    const output = path.join(built, path.basename(program));
    // As its Makefile does
    const flags = [
      '-O2',
      '-D_GNU_SOURCE',
      '-Wno-address-of-packed-member',
      `-I${path.dirname(headers)}`,
      '-o',
      output,
    ];
    if (spawnSync('cc', [...flags, ...sources], { stdio: 'ignore' }).status !== 0) return;
    fs.renameSync(built, folder);
  });
  return fs.existsSync(program) ? program : undefined;
}

/** Why the file copy daemons can't be compared; undefined when they can. */
export function missingFcopyReference(): Readonly<Record<'device' | 'ring', string | undefined>> {
  if (spawnSync('cc', ['--version'], { stdio: 'ignore' }).status !== 0) {
    const why = 'no C compiler (cc) for the preload shim';
    return { device: why, ring: why };
  }
  return {
    device: findCDaemon('hv_fcopy_daemon')
      ? undefined
      : "no hv_fcopy_daemon: neither installed nor to be had with 'apt-get download " +
        "hyperv-daemons'",
    ring: findUioDaemon()
      ? undefined
      : "no hv_fcopy_uio_daemon: it is for x86-64, and its source has to be had with 'apt-get " +
        "download linux-source-6.12'",
  };
}

/** Why the comparison can't be made here; undefined when it can. */
export const missingReference = (...name: Parameters<typeof findCDaemon>): string | undefined =>
  spawnSync('cc', ['--version'], { stdio: 'ignore' }).status !== 0
    ? 'no C compiler (cc) for the preload shim'
    : findCDaemon(...name) === undefined
      ? `no ${name[0] ?? 'hv_kvp_daemon'}: neither installed nor to be had with 'apt-get ` +
        "download hyperv-daemons'"
      : undefined;

/** Compiles one C file, once for each content; gives the program's (or shared library's) path. */
export function compile(source: string, kind: 'program' | 'shared'): string {
  const print = createHash('sha256')
    .update(kind)
    .update(os.arch())
    .update(fs.readFileSync(source))
    .digest('hex');
  const name = path.basename(source, '.c');
  const output = path.join(
    cache,
    'compat',
    `${name}-${print.slice(0, 16)}${kind === 'shared' ? '.so' : ''}`,
  );
  if (fs.existsSync(output)) return output;
  fs.mkdirSync(path.dirname(output), { recursive: true });
  const temporary = `${output}.${process.pid}`;
  const flags = kind === 'shared' ? ['-shared', '-fPIC'] : [];
  const result = spawnSync(
    'cc',
    ['-O2', '-Wall', '-Wextra', '-Werror', ...flags, '-o', temporary, source, '-ldl'],
    {
      encoding: 'utf8',
    },
  );
  if (result.status !== 0)
    throw new Error(`${source} does not compile: ${result.error?.message ?? result.stderr}`);
  fs.renameSync(temporary, output);
  return output;
}

/**
 * What the C daemon of either wire finds as the file copy channel, with a folder made in `folder`
 * for what it reads of sysfs.
 */
export function shimmedFcopy(
  socketPath: string,
  folder: string,
  ringBytes: number,
): Record<string, string> {
  const sysfs = path.join(folder, 'sysfs');
  const device = path.join(sysfs, 'devices/eb765408-105f-49b6-b4aa-c123b64d17d4');
  fs.mkdirSync(path.join(device, 'uio/uio0'), { recursive: true });
  fs.mkdirSync(path.join(device, 'channels/1'), { recursive: true });
  // Of this file it asks for the size: both rings
  fs.writeFileSync(path.join(device, 'channels/1/ring'), '');
  fs.truncateSync(path.join(device, 'channels/1/ring'), 2 * ringBytes);
  return {
    LD_PRELOAD: compile(fcopyPreloadSource, 'shared'),
    VMIC_SHIM_DEVICE: socketPath,
    VMIC_SHIM_SYSFS: sysfs,
  };
}

/**
 * The environment in which a daemon finds the device at `socketPath`, and /var/lib/hyperv at
 * `poolFolder`.
 */
export const shimmed = (socketPath: string, poolFolder?: string): Record<string, string> => ({
  LD_PRELOAD: compile(preloadSource, 'shared'),
  VMIC_SHIM_DEVICE: socketPath,
  ...(poolFolder === undefined ? {} : { VMIC_SHIM_POOLS: poolFolder }),
});
