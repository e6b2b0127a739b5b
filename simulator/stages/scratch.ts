/**
 * Real file systems that may be frozen: loop devices in a private mount namespace. Whatever runs
 * inside can freeze all that it finds, because no file system of this machine is there.
 */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { findFileSystems } from './scratch-mounts.ts';
import { environment, ScratchNamespace } from './scratch-namespace.ts';

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

const isOnPath = (program: string): boolean =>
  environment.PATH.split(':').some(
    (folder) => folder !== '' && fs.existsSync(path.join(folder, program)),
  );

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

/** Scratch file systems, from their making to their removal. */
export class Scratch {
  readonly #namespace: ScratchNamespace;
  /** Where the file systems are mounted, inside. */
  readonly folder: string;
  /** On a tmpfs, and the same inside and outside: for sockets and records. */
  readonly shared: string;
  readonly fileSystems: readonly ScratchFileSystem[];

  private constructor(
    namespace: ScratchNamespace,
    folder: string,
    shared: string,
    kinds: readonly ScratchKind[],
  ) {
    this.#namespace = namespace;
    this.folder = folder;
    this.shared = shared;
    this.fileSystems = findFileSystems(this.mountinfo(), folder, kinds);
  }

  static async create({ kinds, sizeMiB = 32 }: ScratchOptions): Promise<Scratch> {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'vmic-scratch-'));
    const shared = fs.mkdtempSync('/dev/shm/vmic-scratch-');
    const wanted = kinds.map((kind) => `${kind} ${Math.max(sizeMiB, SMALLEST_MIB[kind])}`);
    let namespace: ScratchNamespace | undefined;
    try {
      namespace = await ScratchNamespace.create({ folder, wanted });
      return new Scratch(namespace, folder, shared, kinds);
    } catch (error) {
      await namespace?.dispose();
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
   * The command line that runs `command` inside. The process it starts becomes that command: its id
   * and its end are the command's.
   */
  enter(command: readonly string[]): [string, ...string[]] {
    return this.#namespace.enter(command);
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
    await this.#namespace.dispose();
    Scratch.#remove(this.folder, this.shared);
  }
}
