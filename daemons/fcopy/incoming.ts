import fs from 'node:fs';
import type { FileSink, NativeError } from '../../native/interface.ts';
import { problemOf } from './file-problems.ts';
import { type FileContext, procPath } from './files.ts';
import { FileNaming } from './naming.ts';
import type { Descriptors, Place } from './place.ts';
import type { Incoming } from './ports.ts';

const { O_RDONLY, O_DIRECTORY } = fs.constants;

/** A file on its way into a place. */
export class IncomingFile implements Incoming {
  readonly sink: FileSink;
  readonly #context: FileContext;
  readonly #fds: Descriptors;
  readonly #place: Place;
  readonly #naming: FileNaming;

  constructor(
    context: FileContext,
    fds: Descriptors,
    place: Place,
    sizeBytes: number,
    overwrite: boolean,
  ) {
    this.#context = context;
    this.#fds = fds;
    this.#place = place;
    this.#naming = new FileNaming(context, place, overwrite);
    this.sink = context.native.openSink(this.#naming.create(), sizeBytes);
  }

  sync(): Promise<void> {
    return new Promise((resolve, reject) => {
      fs.fsync(this.sink.fd, (error) => (error ? reject(problemOf(error)) : resolve()));
    });
  }

  publish(): Promise<void> {
    const made: { readonly parentFd: number; readonly name: string }[] = [];
    let kept: number | undefined;
    try {
      this.#place.check();
      const folderFd = this.#makeFolders(made);
      // Its own descriptor, and had before there is no way back: it is synced when the others are
      // closed
      kept = fs.openSync(procPath(folderFd), O_RDONLY | O_DIRECTORY);
      this.#naming.name(this.sink.fd, folderFd);
    } catch (error) {
      if (kept !== undefined) fs.closeSync(kept);
      for (const { parentFd, name } of made.reverse()) {
        try {
          this.#context.native.removeFolder(parentFd, name);
        } catch {
          // Somebody has put something into it
        }
      }
      throw problemOf(error);
    }
    const folderFd = kept;
    return new Promise((resolve) => {
      // What it fails with changes nothing: the file is there, and whole
      fs.fsync(folderFd, () => {
        fs.closeSync(folderFd);
        resolve();
      });
    });
  }

  close(): void {
    this.sink.close();
    this.#naming.drop();
    this.#fds.close();
  }

  /** The folder itself, made where it was missing. */
  #makeFolders(made: { readonly parentFd: number; readonly name: string }[]): number {
    const { native, policy } = this.#context;
    const { owner, folderMode } = policy;
    let at = this.#place.folderFd;
    for (const name of this.#place.missing) {
      let next: number;
      try {
        next = this.#fds.keep(native.makeFolder(at, name));
        made.push({ parentFd: at, name });
        if (owner) fs.fchownSync(next, owner.uid, owner.gid);
        fs.fchmodSync(next, folderMode);
      } catch (error) {
        if ((error as NativeError).code !== 'EEXIST') throw error;
        // Somebody was faster
        next = this.#fds.keep(native.openFolder(at, name, 'beneath'));
      }
      at = next;
    }
    return at;
  }
}
