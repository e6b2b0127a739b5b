import path from 'node:path';
import { type FcopyRequest, MAX_FRAGMENT_BYTES } from '../../protocol/fcopy/messages.ts';
import { IcStatus } from '../../protocol/ic/status.ts';
import type { FuzzFolder } from './fcopy-fuzz-files.ts';

const { fail, invalidArgument, diskFull } = IcStatus;
const SIZES = [
  0,
  1,
  100,
  MAX_FRAGMENT_BYTES,
  MAX_FRAGMENT_BYTES + 1,
  2 * MAX_FRAGMENT_BYTES,
  15_000,
];
const MAX_BYTES = Math.max(...SIZES);
/** Every byte tells where in its file it belongs. */
export const CONTENT = Uint8Array.from(
  { length: MAX_BYTES + MAX_FRAGMENT_BYTES },
  (_, i) => (i * 31 + (i >>> 8)) & 0xff,
);
const BAD_NAMES = ['', '.', '..', '../escaped', 'a/b', 'a\\b'];

/** One request of a sequence. */
export interface SequenceStep {
  readonly request: FcopyRequest;
  /** Of a start: which file it is for. */
  readonly key?: string;
  /** Of a start: what it has to be refused with, whatever is there. */
  readonly refusal?: number | undefined;
}

/** Makes random copies: a start, parts in and out of order, an end. Each may be missing. */
export class FcopySequences {
  readonly #folders: readonly FuzzFolder[];
  readonly #random: (below: number) => number;
  /** A start has asked for the folders of `made/deep`. */
  #hasAsked = false;

  constructor(folders: readonly FuzzFolder[], random: (below: number) => number) {
    this.#folders = folders;
    this.#random = random;
  }

  /** The folders that starts asked for are gone again. */
  forgetFolders(): void {
    this.#hasAsked = false;
  }

  /** Makes each request when it is asked for, because the numbers between are somebody else's. */
  *next(): Generator<SequenceStep> {
    const random = this.#random;
    const sizeBytes = this.#pick(SIZES);
    const start = this.#start(sizeBytes);
    if (random(12) !== 0) yield start;
    for (let parts = 1 + random(3), offset = 0; parts > 0 && offset <= sizeBytes; parts--) {
      const bytes = Math.min(
        random(8) === 0 ? 1 + random(MAX_FRAGMENT_BYTES) : MAX_FRAGMENT_BYTES,
        sizeBytes - offset,
      );
      if (bytes === 0) break;
      const at = random(12) === 0 ? random(MAX_BYTES) : offset;
      const data = CONTENT.subarray(at, at + bytes);
      yield { request: { operation: 'data', offset: BigInt(at), data } };
      offset += bytes;
    }
    const end = random(16);
    if (end < 11) yield { request: { operation: 'complete' } };
    else if (end < 13) yield { request: { operation: 'cancel' } };
    else if (end === 13)
      yield { request: { operation: 'unknown', operationCode: 4 + random(1000) } };
  }

  #start(sizeBytes: number): SequenceStep {
    const random = this.#random;
    const badName = random(10) === 0;
    const fileName = badName
      ? this.#pick(BAD_NAMES)
      : `${sizeBytes}-${this.#pick(['é', 'į', '日本', '🚀', 'plain', ' '])}${random(4)}`;
    const folder = random(3) === 0 ? this.#pick(this.#folders) : this.#folders[0]!;
    const overwrite = random(2) === 0;
    // Folders are made with the file that needs them, which may have been any since they were first
    // asked for
    const createPath = random(2) === 0 || (folder.isMissing && this.#hasAsked);
    const huge = random(50) === 0;
    const request: FcopyRequest = {
      operation: 'start',
      fileName,
      path: folder.path,
      flags: { overwrite, createPath, unknown: 0 },
      sizeBytes: huge ? 0xffff_ffff_ffff_ffffn : BigInt(sizeBytes),
    };
    const place = path.normalize(folder.path.replaceAll('\\', '/')).replace(/\/+$/, '');
    const name = badName || folder.refusal === invalidArgument ? invalidArgument : undefined;
    const absent = folder.isMissing && !createPath ? fail : undefined;
    const refusal = name ?? (huge ? diskFull : (folder.refusal ?? absent));
    this.#hasAsked ||= folder.isMissing && createPath;
    return { request, key: `${place}/${fileName}`, refusal };
  }

  #pick<T>(list: readonly T[]): T {
    return list[this.#random(list.length)]!;
  }
}
