import type { FileSink } from '../../native/interface.ts';
import type { MonotonicMs } from '../../runtime/clock.ts';
import type { Log } from '../../runtime/log.ts';
import type { Target } from './names.ts';
import type { FcopyDetails, Result } from './status.ts';

/** Why a file can't be taken. */
export class FileProblem extends Error {
  override readonly name = 'FileProblem';
  readonly result: Extract<Result, 'refused' | 'absent' | 'exists' | 'diskFull' | 'failed'>;

  constructor(result: FileProblem['result'], message: string, cause?: unknown) {
    super(message, { cause });
    this.result = result;
  }
}

/** A file on its way. Nobody sees it, and no folder is made for it, before `publish`. */
export interface Incoming {
  readonly sink: FileSink;
  /** Its data is on the disk. Rejects with a FileProblem. */
  sync(): Promise<void>;
  /**
   * Gives it owner, mode and name, at once; what it resolves for is that the name is on the disk,
   * too. Throws a FileProblem; then nothing has changed.
   */
  publish(): Promise<void>;
  /** Lets go of everything; what was not published is gone. May be called again. */
  close(): void;
}

export interface Wishes {
  /** Take the place of a file that is there. */
  readonly overwrite: boolean;
  /** Make folders that are not. */
  readonly createPath: boolean;
}

/** What the service needs of the system. */
export interface FcopyPorts {
  /** Throws a FileProblem. */
  create(target: Target, sizeBytes: number, wishes: Wishes): Incoming;
  /** Tells people now. */
  publish(details: FcopyDetails): void;
  uptimeSecs(): number;
  readonly now: MonotonicMs;
  /** Calls once, later, unless what it returns is called before. */
  after(ms: number, run: () => void): () => void;
  /** A limited log: hosts can cause every line. */
  readonly log: Log;
}

export interface FcopyLimits {
  /** Undefined: none. */
  readonly maxSizeBytes: number | undefined;
  /** A copy that does not get on for so long is given up. */
  readonly silenceSecs: number;
  /** A host's flag counts. */
  readonly overwrite: boolean;
}
