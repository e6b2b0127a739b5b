import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';
import type { FilePolicy } from '../../../daemons/fcopy/files.ts';
import { Leftover } from '../../../daemons/fcopy/leftover.ts';
import type { Incoming, Wishes } from '../../../daemons/fcopy/ports.ts';
import { FileMaker } from '../../../daemons/fcopy/system.ts';
import { native } from '../../../native/index.ts';
import type { Native } from '../../../native/interface.ts';
import { nativeError } from '../../../native/memory/index.ts';
import { levels } from '../../../runtime/log.ts';

export const partsOf = (folder: string): string[] =>
  folder.split('/').filter((name) => name !== '');

/** As on a file system that has no files without a name. */
export const withoutUnnamed: Native = Object.assign(Object.create(native), {
  createFile(folderFd: number, name?: string): number {
    if (name === undefined) throw nativeError('EOPNOTSUPP', 'openat');
    return native.createFile(folderFd, name);
  },
});

/** A folder `inside` that files may be copied to, one `outside`, and a FileMaker. */
export class Disk {
  readonly folder: string;
  readonly inside: string;
  readonly outside: string;
  readonly noteFile: string;
  readonly lines: string[] = [];
  readonly leftover: Leftover;
  readonly #maker: FileMaker;

  constructor(t: TestContext, policy: Partial<FilePolicy> = {}, on: Native = native) {
    this.folder = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'vmic-fcopy-test-')));
    t.after(() => fs.rmSync(this.folder, { recursive: true, force: true }));
    this.inside = path.join(this.folder, 'inside');
    this.outside = path.join(this.folder, 'outside');
    this.noteFile = path.join(this.folder, 'state/note');
    for (const one of [this.inside, this.outside]) fs.mkdirSync(one);
    const log = levels((severity, message) => this.lines.push(`${severity}: ${message}`));
    this.leftover = new Leftover(this.noteFile, on, log);
    const defaults = {
      roots: [{ folders: partsOf(this.inside) }],
      owner: undefined,
      mode: 0o644,
      folderMode: 0o755,
      reserveBytes: 0n,
    };
    this.#maker = new FileMaker(on, { ...defaults, ...policy }, this.leftover);
  }

  /**
   * How many files and folders of this disk, or roots of all disks, are open: what else this
   * process opens and closes meanwhile is not ours.
   */
  get openDescriptors(): number {
    return openPaths().filter((open) => open === '/' || open.startsWith(this.folder)).length;
  }

  create(file: string, sizeBytes: number, wishes: Partial<Wishes> = {}): Incoming {
    const folders = partsOf(path.dirname(file));
    const target = { folders, fileName: path.basename(file) };
    return this.#maker.create(target, sizeBytes, {
      overwrite: false,
      createPath: false,
      ...wishes,
    });
  }

  /** A whole copy. */
  async copy(file: string, text: string, wishes: Partial<Wishes> = {}): Promise<void> {
    const incoming = this.create(file, Buffer.byteLength(text), wishes);
    try {
      incoming.sink.write(Buffer.from(text));
      await incoming.sync();
      await incoming.publish();
    } finally {
      incoming.close();
    }
  }

  /** Everything in a folder, by path: a file's content, "/" of a folder, "-> target" of a link. */
  list(folder = this.inside): Record<string, string> {
    const found: Record<string, string> = {};
    for (const entry of fs.readdirSync(folder, { withFileTypes: true })) {
      const full = path.join(folder, entry.name);
      if (entry.isDirectory()) {
        found[entry.name] = '/';
        for (const [name, what] of Object.entries(this.list(full)))
          found[`${entry.name}/${name}`] = what;
      } else {
        found[entry.name] = entry.isSymbolicLink()
          ? `-> ${fs.readlinkSync(full)}`
          : entry.isFile()
            ? fs.readFileSync(full, 'utf8')
            : 'something else';
      }
    }
    return found;
  }
}

const openPaths = (): string[] =>
  fs.readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      return [fs.readlinkSync(`/proc/self/fd/${fd}`)];
    } catch {
      // That of the listing itself
      return [];
    }
  });
