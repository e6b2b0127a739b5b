import type { Native } from '../../native/interface.ts';
import type { Leftover } from './leftover.ts';
import type { Owner } from './options.ts';

export interface FilePolicy {
  readonly roots: readonly { readonly folders: readonly string[] }[];
  readonly owner: Owner | undefined;
  readonly mode: number;
  readonly folderMode: number;
  /** Left free on the disk. */
  readonly reserveBytes: bigint;
}

/** What making files needs of the addon. */
export type Files = Pick<
  Native,
  | 'openSink'
  | 'openFolder'
  | 'makeFolder'
  | 'createFile'
  | 'nameFile'
  | 'renameFile'
  | 'removeFile'
  | 'removeFolder'
  | 'statEntry'
  | 'copyOwnership'
  | 'stat'
>;

/** What every new file needs. */
export interface FileContext {
  readonly native: Files;
  readonly policy: FilePolicy;
  readonly leftover: Leftover;
}

export const procPath = (fd: number): string => `/proc/self/fd/${fd}`;
