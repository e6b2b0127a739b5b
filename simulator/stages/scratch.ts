/**
 * Real file systems that may be frozen: loop devices in a private mount namespace whose root is an
 * overlay, so that no file system of this machine is in its mountinfo. Whatever runs inside can
 * freeze all that it finds.
 *
 * Everything (images, devices, mounts) belongs to the namespace and goes with it, also when this
 * process is killed: the process that holds the namespace thaws all and ends when its standard
 * input closes.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

const LOOP_MAJOR = 7;
/** Kinds whose superblocks have no block device's number. */
const ANONYMOUS = ['btrfs', 'zfs', 'bcachefs'];
const TOOLS = ['unshare', 'nsenter', 'mount', 'losetup', 'fsfreeze', 'pivot_root'];

export type ScratchKind = 'ext4' | 'xfs' | 'btrfs';

export interface ScratchOptions {
  /** One file system each. */
  readonly kinds: readonly ScratchKind[];
  readonly sizeMiB?: number;
}

export interface ScratchFileSystem {
  readonly kind: ScratchKind;
  /** Inside the namespace only. */
  readonly mountPoint: string;
  /** As in mountinfo. */
  readonly deviceNumber: string;
  /** "/dev/loop7" */
  readonly source: string;
}

const SMALLEST_MIB: Record<ScratchKind, number> = { ext4: 32, xfs: 300, btrfs: 110 };

/** $1: a folder. $2: what overlays are needed for besides /. Then file systems: "KIND SIZE_MIB". */
const HOLD = `
set -eu
folder=$1; others=$2; shift 2
mount -t tmpfs -o mode=755 vmic-scratch "$folder"
mkdir "$folder/upper" "$folder/work" "$folder/root"
mount -t overlay -o "lowerdir=/,upperdir=$folder/upper,workdir=$folder/work" overlay "$folder/root"
number=0
for other in $others; do
  number=$((number + 1))
  mkdir "$folder/upper$number" "$folder/work$number"
  mkdir -p "$folder/root$other"
  layers="lowerdir=$other,upperdir=$folder/upper$number,workdir=$folder/work$number"
  mount -t overlay -o "$layers" overlay "$folder/root$other"
done
for shown in proc sys dev; do mount --rbind "/$shown" "$folder/root/$shown"; done
cd "$folder/root"
mkdir -p .before
pivot_root . .before
umount -l /.before
mkdir -p "$folder"
mount -t tmpfs -o mode=755 vmic-scratch "$folder"
number=0
for wanted in "$@"; do
  kind=\${wanted% *}
  image="$folder/$number.img"
  truncate -s "\${wanted#* }M" "$image"
  # Silent for good: some say something all the same, and what is said here is that all is ready
  "mkfs.$kind" -q "$image" > /dev/null
  mkdir "$folder/$number"
  mount -o loop "$image" "$folder/$number"
  number=$((number + 1))
done
echo ready
cat > /dev/null
while [ $number -gt 0 ]; do
  number=$((number - 1))
  fsfreeze -u "$folder/$number" 2> /dev/null || true
  umount -l "$folder/$number"
done
`;

/** The programs this needs are root's, which a person's PATH may not have. */
const environment = {
  ...process.env,
  PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin:/usr/bin:/bin`,
  LC_ALL: 'C',
};

const isOnPath = (program: string): boolean =>
  environment.PATH.split(':').some(
    (folder) => folder !== '' && fs.existsSync(path.join(folder, program)),
  );

/** Folders that have to be seen inside, and lie on another file system than /. */
function otherFolders(): string[] {
  const device = fs.statSync('/').dev;
  const wanted = [
    '/usr',
    '/etc',
    os.tmpdir(),
    process.cwd(),
    path.dirname(fs.realpathSync(process.execPath)),
  ];
  return [...new Set(wanted)].filter((folder) => fs.statSync(folder).dev !== device);
}

let missing: string | false | undefined;

/** Why there can be no scratch file systems here; undefined when there can. Found out by trying. */
export function missingScratch(kinds: readonly ScratchKind[] = ['ext4']): string | undefined {
  if (process.getuid?.() !== 0) return 'loop devices and mounts need root';
  const absent = [...TOOLS, ...kinds.map((kind) => `mkfs.${kind}`)].filter(
    (tool) => !isOnPath(tool),
  );
  if (absent.length > 0) return `not installed: ${absent.join(', ')}`;
  if (missing === undefined) {
    const script = `set -e; folder=$(mktemp -d /dev/shm/vmic-try-XXXXXX)
      trap 'umount -lR $folder; rmdir $folder' EXIT
      mount -t tmpfs vmic-scratch $folder; mkdir $folder/u $folder/w $folder/r
      mount -t overlay -o lowerdir=/,upperdir=$folder/u,workdir=$folder/w overlay $folder/r
      truncate -s 8M $folder/image; mkfs.ext4 -q $folder/image; mkdir $folder/m
      mount -o loop $folder/image $folder/m; umount $folder/m`;
    const args = ['--mount', '--propagation', 'private', 'sh', '-c', script];
    const { status, stderr, error } = spawnSync('unshare', args, {
      env: environment,
      encoding: 'utf8',
    });
    const words = error?.message ?? stderr.trim().split('\n').at(-1);
    missing = status === 0 ? false : `no loop device in a private mount namespace: ${words}`;
  }
  return missing === false ? undefined : missing;
}

export class Scratch {
  readonly #holder: ChildProcess;
  /** Where the file systems are mounted, inside. */
  readonly folder: string;
  /** On a tmpfs, and the same inside and outside: for sockets and records. */
  readonly shared: string;
  readonly fileSystems: readonly ScratchFileSystem[];

  private constructor(
    holder: ChildProcess,
    folder: string,
    shared: string,
    kinds: readonly ScratchKind[],
  ) {
    this.#holder = holder;
    this.folder = folder;
    this.shared = shared;
    this.fileSystems = this.#check(kinds);
  }

  static async create({ kinds, sizeMiB = 32 }: ScratchOptions): Promise<Scratch> {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'vmic-scratch-'));
    const shared = fs.mkdtempSync('/dev/shm/vmic-scratch-');
    const wanted = kinds.map((kind) => `${kind} ${Math.max(sizeMiB, SMALLEST_MIB[kind])}`);
    const args = [
      '--mount',
      '--propagation',
      'private',
      'sh',
      '-c',
      HOLD,
      'sh',
      folder,
      otherFolders().join(' '),
    ];
    const holder = spawn('unshare', [...args, ...wanted], {
      env: environment,
      cwd: '/',
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    let errors = '';
    holder.stderr.on('data', (chunk) => {
      errors += chunk;
    });
    const ended = once(holder, 'close');
    const ready = once(holder.stdout, 'data');
    ready.catch(() => {});
    try {
      if ((await Promise.race([ready, ended])).length !== 1)
        throw new Error(`no scratch file systems: ${errors}`);
      return new Scratch(holder, folder, shared, kinds);
    } catch (error) {
      holder.stdin.end();
      await ended;
      Scratch.#remove(folder, shared);
      throw error;
    }
  }

  static #remove(folder: string, shared: string): void {
    // Inside the namespace a tmpfs covered it: outside it is still empty, and were it not, that
    // would have to be seen
    fs.rmdirSync(folder);
    fs.rmSync(shared, { recursive: true, force: true });
  }

  /**
   * Finds the device numbers, and makes sure that nothing but scratch file systems can be frozen
   * inside.
   */
  #check(kinds: readonly ScratchKind[]): ScratchFileSystem[] {
    const found = new Map<string, ScratchFileSystem>();
    const mountPoints = kinds.map((_, index) => path.join(this.folder, String(index)));
    for (const line of this.mountinfo().trimEnd().split('\n')) {
      const [left, right] = line.split(' - ') as [string, string];
      const [, , deviceNumber = '', , mountPoint = ''] = left.split(' ');
      const [fileSystem = '', source = ''] = right.split(' ');
      const index = mountPoints.indexOf(mountPoint);
      const major = Number(deviceNumber.split(':')[0]);
      if (
        index >= 0 &&
        (major === LOOP_MAJOR || (fileSystem === 'btrfs' && source.startsWith('/dev/loop')))
      ) {
        found.set(mountPoint, { kind: kinds[index]!, mountPoint, deviceNumber, source });
      } else if (major !== 0 || ANONYMOUS.includes(fileSystem)) {
        throw new Error(
          `${mountPoint} (${source}) is a file system of this machine, and would be frozen: ` +
            `${line}`,
        );
      }
    }
    return mountPoints.map((mountPoint) => {
      const fileSystem = found.get(mountPoint);
      if (fileSystem === undefined) throw new Error(`${mountPoint} is not mounted`);
      return fileSystem;
    });
  }

  /**
   * The command line that runs `command` inside. The process it starts becomes that command: its id
   * and its end are the command's.
   */
  enter(command: readonly string[]): [string, ...string[]] {
    const pid = this.#holder.pid;
    // util-linux lies in /usr/bin on every distribution; the project's folder is seen inside at its
    // own path
    return [
      'nsenter',
      `--target=${pid}`,
      '--mount',
      '--root',
      `--wdns=${process.cwd()}`,
      '--',
      ...command,
    ];
  }

  /**
   * A program outside that runs `program` inside, for those who start it by one path. Like `enter`,
   * it becomes that program.
   */
  wrap(program: string): string {
    const file = path.join(this.shared, path.basename(program));
    const command = this.enter([program]).map((word) => `'${word}'`);
    fs.writeFileSync(file, `#!/bin/sh\nexec ${command.join(' ')} "$@"\n`, { mode: 0o755 });
    return file;
  }

  /** Runs a program inside, to its end. */
  try(
    program: string,
    ...args: readonly string[]
  ): { readonly ok: boolean; readonly output: string; readonly errors: string } {
    const [enter, ...rest] = this.enter([program, ...args]);
    const { status, stdout, stderr, error } = spawnSync(enter, rest, {
      env: environment,
      encoding: 'utf8',
    });
    if (error !== undefined) throw error;
    return { ok: status === 0, output: stdout, errors: stderr };
  }

  /** The same, and throws when it fails. Gives what it printed. */
  run(program: string, ...args: readonly string[]): string {
    const { ok, output, errors } = this.try(program, ...args);
    if (!ok) throw new Error(`${[program, ...args].join(' ')}: ${errors}`);
    return output;
  }

  mountinfo(): string {
    return this.run('cat', '/proc/self/mountinfo');
  }

  /**
   * Asks by freezing it, which fails when it is frozen; otherwise it is thawed again at once, so
   * don't ask while somebody else is about to freeze it.
   */
  isFrozen(mountPoint: string): boolean {
    const { ok, errors } = this.try('fsfreeze', '-f', mountPoint);
    if (ok) this.run('fsfreeze', '-u', mountPoint);
    else if (!/busy/i.test(errors)) throw new Error(errors);
    return !ok;
  }

  /** Thaws all that is frozen; gives the mount points of those that were. */
  thawAll(): string[] {
    const script = 'for one; do if fsfreeze -u "$one" 2> /dev/null; then echo "$one"; fi; done';
    const mountPoints = this.fileSystems.map(({ mountPoint }) => mountPoint);
    return this.run('sh', '-c', script, 'sh', ...mountPoints)
      .split('\n')
      .slice(0, -1);
  }

  /** What can be done in an instant, when this process ends; the holder does the rest. */
  abandon(): void {
    Scratch.#remove(this.folder, this.shared);
  }

  /** Thaws, unmounts and removes all. What runs inside has to have ended. */
  async dispose(): Promise<void> {
    const ended = once(this.#holder, 'close');
    this.#holder.stdin!.end();
    await ended;
    Scratch.#remove(this.folder, this.shared);
  }
}
