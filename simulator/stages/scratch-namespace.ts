/**
 * The private mount namespace of scratch file systems. Its root is an overlay, so that no file
 * system of this machine is in its mountinfo.
 *
 * Everything (images, devices, mounts) belongs to the namespace and goes with it, also when this
 * process is killed: the process that holds the namespace thaws all and ends when its standard
 * input closes.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

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
export const environment = {
  ...process.env,
  PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin:/usr/bin:/bin`,
  LC_ALL: 'C',
};

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

/** Where a namespace is held, and what for. */
export interface NamespaceOptions {
  /** The file systems are mounted in it, inside. */
  readonly folder: string;
  /** File systems to make and mount: "KIND SIZE_MIB". */
  readonly wanted: readonly string[];
}

/** One such namespace, and the process that holds it. */
export class ScratchNamespace {
  readonly #holder: ChildProcess;
  readonly #ended: Promise<unknown>;

  private constructor(holder: ChildProcess, ended: Promise<unknown>) {
    this.#holder = holder;
    this.#ended = ended;
  }

  /** Resolves when all is mounted. Throws an Error with what the tools said when that fails. */
  static async create({ folder, wanted }: NamespaceOptions): Promise<ScratchNamespace> {
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
    } catch (error) {
      holder.stdin.end();
      await ended;
      throw error;
    }
    return new ScratchNamespace(holder, ended);
  }

  /**
   * The command line that runs `command` inside. The process it starts becomes that command: its id
   * and its end are the command's.
   */
  enter(command: readonly string[]): [string, ...string[]] {
    // util-linux lies in /usr/bin on every distribution; the project's folder is seen inside at its
    // own path
    return [
      'nsenter',
      `--target=${this.#holder.pid}`,
      '--mount',
      '--root',
      `--wdns=${process.cwd()}`,
      '--',
      ...command,
    ];
  }

  /** Thaws and unmounts all. What runs inside has to have ended. */
  async dispose(): Promise<void> {
    this.#holder.stdin!.end();
    await this.#ended;
  }
}
