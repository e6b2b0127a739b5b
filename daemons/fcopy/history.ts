import type { FcopyReply } from '../../protocol/fcopy/messages.ts';
import { formatVersion } from '../../protocol/ic/version.ts';
import type { Log } from '../../runtime/log.ts';
import type { Peer } from '../../runtime/service.ts';
import type { Refusal } from './admission.ts';
import type { FcopyPorts } from './ports.ts';
import { replyTo } from './replies.ts';
import type { FcopyDetails, Result } from './status.ts';

/** How often the status is published at most. */
const PUBLISH_MS = 1000;
const MAX_LAST = 10;

/** What is told of a copy, or of one that was refused. */
export interface ToldCopy {
  readonly target: string;
  readonly sizeBytes: number;
  readonly receivedBytes: number;
  readonly startedSecs: number;
}

type Counters = Record<'started' | 'copied' | 'bytes' | 'refused' | 'failed', number>;

/** Tells of copies: in the log, by counters, and in the status. */
export class CopyHistory {
  readonly #ports: FcopyPorts;
  readonly #last: FcopyDetails['last'][number][];
  readonly #current: () => ToldCopy | undefined;
  readonly #counters: Counters = { started: 0, copied: 0, bytes: 0, refused: 0, failed: 0 };
  #peer: string | undefined;
  #publishedMs = Number.NEGATIVE_INFINITY;
  #stopPublishing: (() => void) | undefined;

  /** `last` are results of earlier processes; `current` returns the copy under way. */
  constructor(ports: FcopyPorts, last: FcopyDetails['last'], current: () => ToldCopy | undefined) {
    this.#ports = ports;
    this.#last = last.slice(0, MAX_LAST);
    this.#current = current;
    this.publish();
  }

  setPeer(peer: Peer): void {
    this.#peer =
      peer.via === 'hv_utils' ? `hv_utils ${peer.versionText}` : formatVersion(peer.message);
    this.publish();
  }

  countStart(): void {
    this.#counters.started++;
  }

  tellStart(target: string, sizeBytes: bigint): void {
    this.#ports.log.info('The host copies a file', { target, sizeBytes });
    this.publish();
  }

  /** Tells of a copy that was not begun. Returns the reply. */
  tellRefusal({ target, sizeBytes, refused, reason }: Refusal): FcopyReply {
    const startedSecs = this.#ports.uptimeSecs();
    this.tell({ target, sizeBytes, receivedBytes: 0, startedSecs }, refused, reason);
    return replyTo(refused);
  }

  /** Tells how a copy ended. */
  tell(copy: ToldCopy, result: Result, reason?: string): void {
    const { target, sizeBytes, receivedBytes, startedSecs } = copy;
    const because = reason === undefined ? {} : { reason };
    const fields = { target, sizeBytes, receivedBytes, ...because };
    const endedUptimeSecs = this.#ports.uptimeSecs();
    const seconds = Math.max(0, endedUptimeSecs - startedSecs);
    this.#last.unshift({
      target,
      sizeBytes,
      receivedBytes,
      result,
      ...because,
      endedUptimeSecs,
      seconds,
    });
    this.#last.length = Math.min(this.#last.length, MAX_LAST);
    count(this.#counters, this.#ports.log, result, fields);
    this.publish();
  }

  /** Publishes at most once a second: a host can begin and end as many copies as it likes. */
  publish(): void {
    if (this.#stopPublishing) return;
    const { now, after } = this.#ports;
    const dueMs = this.#publishedMs + PUBLISH_MS - now();
    if (dueMs > 0) {
      this.#stopPublishing = after(dueMs, () => {
        this.#stopPublishing = undefined;
        this.publish();
      });
      return;
    }
    this.#publishNow();
  }

  close(): void {
    this.#stopPublishing?.();
    this.#publishNow();
  }

  #publishNow(): void {
    this.#publishedMs = this.#ports.now();
    this.#ports.publish(this.details());
  }

  /** What is to be told now. */
  details(): FcopyDetails {
    const copy = this.#current();
    return {
      ...(this.#peer === undefined ? {} : { peer: this.#peer }),
      ...(copy
        ? {
            copy: {
              target: copy.target,
              sizeBytes: copy.sizeBytes,
              receivedBytes: copy.receivedBytes,
              startedUptimeSecs: copy.startedSecs,
            },
          }
        : {}),
      last: [...this.#last],
      counters: { ...this.#counters },
    };
  }
}

function count(
  counters: Counters,
  log: Log,
  result: Result,
  fields: Omit<ToldCopy, 'startedSecs'> & { readonly reason?: string },
): void {
  switch (result) {
    case 'copied':
      counters.copied++;
      counters.bytes += fields.sizeBytes;
      log.notice('A file was copied', fields);
      break;
    case 'diskFull':
    case 'failed':
      counters.failed++;
      log.error('A file could not be copied; nothing is left of it', { result, ...fields });
      break;
    case 'invalid':
    case 'refused':
    case 'absent':
    case 'exists':
    case 'incomplete':
      counters.refused++;
      log.warning('Refused to copy a file', { result, ...fields });
      break;
    default:
      counters.failed++;
      log.notice('A copy was given up; nothing is left of it', { result, ...fields });
  }
}
