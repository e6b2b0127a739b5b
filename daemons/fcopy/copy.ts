import type { NativeError } from '../../native/interface.ts';
import type { FcopyReply, FcopyRequest } from '../../protocol/fcopy/messages.ts';
import type { Answer } from '../../runtime/service.ts';
import type { AdmittedFile } from './admission.ts';
import { type FcopyPorts, FileProblem, type Incoming } from './ports.ts';
import { INVALID, OK } from './replies.ts';
import type { Result } from './status.ts';

type Part = Extract<FcopyRequest, { readonly operation: 'data' }>;

/** How often a copy is looked at. */
const TICK_MS = 1000;
/**
 * hv_utils gives up after 30 s, and a watchdog after 60: a disk that takes longer for the end of a
 * file than this has failed.
 */
const SYNC_LIMIT_MS = 25_000;

export interface CopyEvents {
  /** Called each second while it gets on. */
  ticked(): void;
  /** Called once, when nothing has come for too long. */
  fellSilent(reason: string): void;
}

/** Why a copy can't go on. */
export interface CopyFailure {
  readonly failed: Result;
  readonly reason: string;
}

/** Returns what an error while a file is finished comes to. */
export const failureOf = (error: unknown): CopyFailure => ({
  failed: error instanceof FileProblem ? error.result : 'failed',
  reason: error instanceof Error ? error.message : String(error),
});

/** One file under way. */
export class Copy {
  readonly target: string;
  readonly sizeBytes: number;
  readonly startedSecs: number;
  readonly #ports: FcopyPorts;
  readonly #incoming: Incoming;
  readonly #silenceSecs: number;
  readonly #events: CopyEvents;
  /** What had been received when it was last seen to get on, and when that was. */
  #seenBytes = 0;
  #seenMs: number;
  /** All is there; it is being written to the disk. */
  #syncing = false;
  #stopTicking: () => void;

  constructor(ports: FcopyPorts, file: AdmittedFile, silenceSecs: number, events: CopyEvents) {
    this.target = file.target;
    this.sizeBytes = file.sizeBytes;
    this.#incoming = file.incoming;
    this.#ports = ports;
    this.#silenceSecs = silenceSecs;
    this.#events = events;
    this.startedSecs = ports.uptimeSecs();
    this.#seenMs = ports.now();
    this.#stopTicking = ports.after(TICK_MS, () => this.#tick());
  }

  get receivedBytes(): number {
    return this.#incoming.sink.positionBytes;
  }

  /** Writes the next part. The answer lets the channel write those that follow. */
  take({ offset, data }: Part): Answer<FcopyReply> | CopyFailure {
    const { log } = this.#ports;
    const { sink } = this.#incoming;
    const position = sink.positionBytes;
    if (offset !== BigInt(position)) {
      log.warning('Refused a part of a file that is not the next one', {
        expectedOffset: position,
        offset,
      });
      return INVALID;
    }
    const { sizeBytes } = this;
    if (data.length > sizeBytes - position) {
      log.warning('Refused a part beyond the end of its file', {
        sizeBytes,
        offset,
        partBytes: data.length,
      });
      return INVALID;
    }
    try {
      sink.write(data);
    } catch (error) {
      const { code, message } = error as NativeError;
      const isFull = code === 'ENOSPC' || code === 'EDQUOT';
      return { failed: isFull ? 'diskFull' : 'failed', reason: message };
    }
    return { ...OK, stream: sink };
  }

  /** Resolves when the data is on the disk. Rejects with a FileProblem, also after some time. */
  sync(): Promise<void> {
    this.#syncing = true;
    return new Promise((resolve, reject) => {
      const reason = `the disk did not take it within ${SYNC_LIMIT_MS / 1000} s`;
      const stop = this.#ports.after(SYNC_LIMIT_MS, () =>
        reject(new FileProblem('failed', reason)),
      );
      this.#incoming.sync().then(resolve, reject).finally(stop);
    });
  }

  /** As `Incoming.publish`. */
  publish(): Promise<void> {
    return this.#incoming.publish();
  }

  close(): void {
    this.#stopTicking();
    this.#incoming.close();
  }

  /** Looks at the sink, because the channel writes most parts past the service. */
  #tick(): void {
    const nowMs = this.#ports.now();
    const { receivedBytes } = this;
    if (receivedBytes !== this.#seenBytes || this.#syncing) {
      this.#seenBytes = receivedBytes;
      this.#seenMs = nowMs;
    } else if (nowMs - this.#seenMs >= this.#silenceSecs * 1000) {
      this.#events.fellSilent(`nothing came for ${this.#silenceSecs} s`);
      return;
    }
    this.#stopTicking = this.#ports.after(TICK_MS, () => this.#tick());
    this.#events.ticked();
  }
}
