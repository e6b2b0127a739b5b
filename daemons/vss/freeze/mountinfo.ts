/** One line of /proc/PID/mountinfo (proc_pid_mountinfo(5)), unescaped. */
export interface Mount {
  readonly id: number;
  readonly parentId: number;
  /**
   * "major:minor" of the superblock: the same for all mounts of one file system, also where stat(2)
   * tells others (btrfs).
   */
  readonly deviceNumber: string;
  /** The folder of the file system that is mounted. */
  readonly root: string;
  readonly mountPoint: string;
  readonly fileSystem: string;
  readonly source: string;
  /** Of the file system itself: it may be writable where this mount is read-only. */
  readonly superblockOptions: string;
}

export interface MountList {
  readonly mounts: readonly Mount[];
  /** Lines that can't be understood: none, with kernels as we know them. */
  readonly strangeLines: number;
}

const OPTIONAL_FIELDS = 6;

/** Takes any text; what can't be understood is counted. */
export function parseMountinfo(text: string): MountList {
  const mounts: Mount[] = [];
  let strangeLines = 0;
  for (const line of text.split('\n')) {
    if (line === '') continue;
    const mount = parseLine(line);
    if (mount) mounts.push(mount);
    else strangeLines++;
  }
  return { mounts, strangeLines };
}

function parseLine(line: string): Mount | undefined {
  // By single spaces: a field can be empty (the source). Older kernels print spaces in the last one
  // unescaped.
  const fields = line.split(' ');
  const separator = fields.indexOf('-', OPTIONAL_FIELDS);
  if (separator < 0 || fields.length < separator + 4) return undefined;
  const [id, parentId, deviceNumber, root, mountPoint] = fields as [
    string,
    string,
    string,
    string,
    string,
  ];
  const [fileSystem, source] = fields.slice(separator + 1) as [string, string];
  const options = fields.slice(separator + 3).join(' ');
  if (
    !/^\d{1,10}$/.test(id) ||
    !/^\d{1,10}$/.test(parentId) ||
    !/^\d{1,10}:\d{1,10}$/.test(deviceNumber)
  )
    return undefined;
  if (!mountPoint.startsWith('/') || fileSystem === '') return undefined;
  return {
    id: Number(id),
    parentId: Number(parentId),
    deviceNumber,
    root: unescaped(root),
    mountPoint: unescaped(mountPoint),
    fileSystem: unescaped(fileSystem),
    source: unescaped(source),
    superblockOptions: unescaped(options),
  };
}

/**
 * Space, tab, newline, backslash and "#" come as octal numbers (seq_escape in fs/proc_namespace.c).
 */
export const unescaped = (field: string): string =>
  field.replace(/\\([0-7]{3})/g, (_, octal) => String.fromCharCode(Number.parseInt(octal, 8)));

/** Which mount a path leads to. */
export class MountTree {
  /** By parent and mount point: what lies there. */
  readonly #children = new Map<string, Mount>();
  readonly #root: Mount | undefined;

  constructor(mounts: readonly Mount[]) {
    const ids = new Set(mounts.map(({ id }) => id));
    this.#root = mounts.find(
      ({ id, parentId, mountPoint }) =>
        mountPoint === '/' && (parentId === id || !ids.has(parentId)),
    );
    for (const mount of mounts) {
      if (mount !== this.#root) this.#children.set(key(mount.parentId, mount.mountPoint), mount);
    }
  }

  /**
   * The mount on which an absolute path without symbolic links lies, as open(2) would find it.
   * Mounts of the superblock `except` are passed by as if they were not there.
   */
  mountOf(path: string, except?: string): Mount | undefined {
    if (this.#root === undefined) return undefined;
    let mount = this.#top(this.#root, '/', except);
    for (let at = path.indexOf('/', 1); ; at = path.indexOf('/', at + 1)) {
      const prefix = at < 0 ? path : path.slice(0, at);
      if (prefix !== '/' && prefix !== '') mount = this.#top(mount, prefix, except);
      if (at < 0) return mount;
    }
  }

  /** False: another mount hides it. */
  isVisible(mount: Mount): boolean {
    return this.mountOf(mount.mountPoint) === mount;
  }

  /** What lies on top of all that is stacked on one mount point. */
  #top(mount: Mount, path: string, except: string | undefined): Mount {
    const seen = new Set<Mount>();
    for (let top = mount; ; ) {
      seen.add(top);
      const next = this.#children.get(key(top.id, path));
      if (next === undefined || next.deviceNumber === except || seen.has(next)) return top;
      top = next;
    }
  }
}

const key = (parentId: number, path: string): string => `${parentId} ${path}`;
