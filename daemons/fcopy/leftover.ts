import fs from 'node:fs';
import type { Native } from '../../native/interface.ts';
import type { Log } from '../../runtime/log.ts';
import {
  isAlive,
  ownIdentity,
  type ProcessIdentity,
  writeJson,
} from '../../runtime/status/status-file.ts';

export const DEFAULT_LEFTOVER_FILE = '/run/vmic/fcopy.json.leftover';
const PREFIX = '.vmic-fcopy-';
const NAME = /^\.vmic-fcopy-[0-9a-z]+$/;

/** A name that nobody is looking for, and nobody else has. */
export const temporaryName = (): string => `${PREFIX}${Math.random().toString(36).slice(2)}`;

interface Note {
  readonly process: ProcessIdentity;
  readonly folder: string;
  readonly name: string;
}

/**
 * A note of the temporary name that a file has, in the few cases where it needs one: should the
 * process be killed meanwhile, the next one removes what it left. Most files have no name at all
 * until they are whole.
 */
export class Leftover {
  readonly #file: string;
  readonly #native: Pick<Native, 'removeFile' | 'openFolder'>;
  readonly #log: Log;

  constructor(file: string, native: Pick<Native, 'removeFile' | 'openFolder'>, log: Log) {
    this.#file = file;
    this.#native = native;
    this.#log = log;
  }

  note(folder: string, name: string): void {
    try {
      writeJson(this.#file, { process: ownIdentity(), folder, name } satisfies Note);
    } catch (error) {
      this.#log.warning(
        'A temporary name can not be noted; were this process killed now, its file would stay',
        {
          error,
        },
      );
    }
  }

  forget(): void {
    fs.rmSync(this.#file, { force: true });
  }

  /** Removes what an earlier process left. */
  cleanUp(): void {
    const note = this.#read();
    if (!note || isAlive(note.process)) return;
    const { folder, name } = note;
    try {
      const root = fs.openSync('/', fs.constants.O_RDONLY | fs.constants.O_DIRECTORY);
      let fd: number | undefined;
      try {
        fd = this.#native.openFolder(root, folder, 'rooted');
        this.#native.removeFile(fd, name);
        this.#log.notice('Removed what a killed process had left of a file', { folder, name });
      } finally {
        if (fd !== undefined) fs.closeSync(fd);
        fs.closeSync(root);
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
        this.#log.warning('What a killed process left of a file can not be removed', {
          folder,
          name,
          error,
        });
      }
    }
    this.forget();
  }

  #read(): Note | undefined {
    try {
      const note = JSON.parse(fs.readFileSync(this.#file, 'utf8')) as Note;
      const isSound =
        typeof note.process?.pid === 'number' &&
        typeof note.folder === 'string' &&
        NAME.test(note.name);
      return isSound ? note : undefined;
    } catch {
      return undefined;
    }
  }
}
