import type { NativeError } from '../../native/interface.ts';
import type { FcopyReply, FcopyRequest } from '../../protocol/fcopy/messages.ts';
import { IcStatus } from '../../protocol/ic/status.ts';
import { formatVersion } from '../../protocol/ic/version.ts';
import type { Answer, Peer, Service } from '../../runtime/service.ts';
import { formatTarget, parseTarget } from './names.ts';
import { type FcopyLimits, type FcopyPorts, FileProblem, type Incoming } from './ports.ts';
import type { FcopyStatus, Result } from './status.ts';

type Start = Extract<FcopyRequest, { readonly operation: 'start' }>;
type Part = Extract<FcopyRequest, { readonly operation: 'data' }>;

const OK: FcopyReply = { status: IcStatus.ok };
const FAIL: FcopyReply = { status: IcStatus.fail };
const INVALID: FcopyReply = { status: IcStatus.invalidArgument };
const NOT_SUPPORTED: FcopyReply = { status: IcStatus.notSupported };

/** What a host is told; results that are not here are a plain failure. */
const REPLIES: { readonly [R in Result]?: FcopyReply } = {
  copied: OK,
  invalid: INVALID,
  exists: { status: IcStatus.alreadyExists },
  diskFull: { status: IcStatus.diskFull },
};
const replyTo = (result: Result): FcopyReply => REPLIES[result] ?? FAIL;

/** How often a copy is looked at, and the status is published at most. */
const TICK_MS = 1000;
/**
 * hv_utils gives up after 30 s, and a watchdog after 60: a disk that takes longer for the end of a
 * file than this has failed.
 */
const SYNC_LIMIT_MS = 25_000;
const MAX_LAST = 10;

/** One file under way. */
interface Copy {
  readonly incoming: Incoming;
  readonly target: string;
  readonly sizeBytes: number;
  readonly startedSecs: number;
  /** What had been received when it was last seen to get on, and when that was. */
  seenBytes: number;
  seenMs: number;
  /** All is there; it is being written to the disk. */
  syncing: boolean;
}

/** Takes one file at a time, whole or not at all. */
export class FcopyService implements Service<FcopyRequest, FcopyReply> {
  readonly #ports: FcopyPorts;
  readonly #limits: FcopyLimits;
  readonly #last: FcopyStatus['last'][number][];
  readonly #counters = { started: 0, copied: 0, bytes: 0, refused: 0, failed: 0 };
  #peer: string | undefined;
  #copy: Copy | undefined;
  #stopTicking: (() => void) | undefined;
  #publishedMs = Number.NEGATIVE_INFINITY;
  #stopPublishing: (() => void) | undefined;

  /** `last` are results of earlier processes. */
  constructor(ports: FcopyPorts, limits: FcopyLimits, last: FcopyStatus['last'] = []) {
    this.#ports = ports;
    this.#limits = limits;
    this.#last = last.slice(0, MAX_LAST);
    this.#publish();
  }

  /** A copy is under way. */
  get busy(): boolean {
    return this.#copy !== undefined;
  }

  handle(request: FcopyRequest): Answer<FcopyReply> | Promise<FcopyReply> {
    switch (request.operation) {
      case 'start':
        return this.#start(request);
      case 'data':
        return this.#data(request);
      case 'complete':
        return this.#complete();
      case 'cancel':
        // Also when there is nothing to cancel: hv_utils sends one before each suspension
        this.#end('cancelled');
        return OK;
      case 'unknown':
        this.#ports.log.warning('Refused an operation that nobody knows', {
          operation: request.operationCode,
        });
        return NOT_SUPPORTED;
    }
  }

  connected(peer: Peer): void {
    // A new registration: what was under way before it, hv_utils has forgotten. A host may
    // negotiate in the middle of a copy, and go on
    if (peer.via === 'hv_utils') this.#end('disconnected');
    this.#peer =
      peer.via === 'hv_utils' ? `hv_utils ${peer.versionText}` : formatVersion(peer.message);
    this.#publish();
  }

  disconnected(): void {
    this.#end('disconnected');
  }

  close(): void {
    this.#end('stopped');
    this.#stopPublishing?.();
    this.#publishNow();
  }

  #start({ fileName, path, flags, sizeBytes }: Start): FcopyReply {
    this.#end('replaced');
    this.#counters.started++;
    const { maxSizeBytes, overwrite } = this.#limits;
    const { log } = this.#ports;
    const parsed = parseTarget(path, fileName);
    if (typeof parsed === 'string') {
      return this.#refused('invalid', `${path} ${fileName}`, sizeBytes, `the host sent ${parsed}`);
    }
    const target = formatTarget(parsed);
    if (maxSizeBytes !== undefined && sizeBytes > maxSizeBytes) {
      return this.#refused(
        'refused',
        target,
        sizeBytes,
        `fcopy.max_size_mib allows ${maxSizeBytes} bytes`,
      );
    }
    if (sizeBytes > BigInt(Number.MAX_SAFE_INTEGER)) {
      return this.#refused('diskFull', target, sizeBytes, 'no disk has so much');
    }
    if (flags.unknown !== 0)
      log.notice('The host set flags that nobody knows', { flags: flags.unknown });
    let incoming: Incoming;
    try {
      const wishes = { overwrite: flags.overwrite && overwrite, createPath: flags.createPath };
      incoming = this.#ports.create(parsed, Number(sizeBytes), wishes);
    } catch (error) {
      if (!(error instanceof FileProblem)) throw error;
      return this.#refused(error.result, target, sizeBytes, error.message);
    }
    const { now, uptimeSecs } = this.#ports;
    this.#copy = {
      incoming,
      target,
      sizeBytes: Number(sizeBytes),
      startedSecs: uptimeSecs(),
      seenBytes: 0,
      seenMs: now(),
      syncing: false,
    };
    log.info('The host copies a file', { target, sizeBytes });
    this.#stopTicking = this.#ports.after(TICK_MS, () => this.#tick());
    this.#publish();
    return OK;
  }

  #data({ offset, data }: Part): Answer<FcopyReply> {
    const copy = this.#copy;
    const { log } = this.#ports;
    if (!copy) {
      log.warning('Refused a part of a file that was not begun', { offset });
      return FAIL;
    }
    const { sink } = copy.incoming;
    const position = sink.positionBytes;
    if (offset !== BigInt(position)) {
      log.warning('Refused a part of a file that is not the next one', {
        expectedOffset: position,
        offset,
      });
      return INVALID;
    }
    if (data.length > copy.sizeBytes - position) {
      log.warning('Refused a part beyond the end of its file', {
        sizeBytes: copy.sizeBytes,
        offset,
        partBytes: data.length,
      });
      return INVALID;
    }
    try {
      sink.write(data);
    } catch (error) {
      const { code, message } = error as NativeError;
      return this.#end(code === 'ENOSPC' || code === 'EDQUOT' ? 'diskFull' : 'failed', message);
    }
    return { ...OK, stream: sink };
  }

  #complete(): FcopyReply | Promise<FcopyReply> {
    const copy = this.#copy;
    if (!copy) {
      this.#ports.log.warning('Refused to complete a file that was not begun');
      return FAIL;
    }
    const { positionBytes } = copy.incoming.sink;
    if (positionBytes !== copy.sizeBytes) {
      return this.#end('incomplete', `${positionBytes} of ${copy.sizeBytes} bytes came`);
    }
    copy.syncing = true;
    return this.#finish(copy);
  }

  async #finish(copy: Copy): Promise<FcopyReply> {
    try {
      await this.#within(SYNC_LIMIT_MS, copy.incoming.sync());
      // Given up meanwhile
      if (this.#copy !== copy) return FAIL;
      const named = copy.incoming.publish();
      const reply = this.#end('copied');
      await named;
      return reply;
    } catch (error) {
      const known = error instanceof FileProblem;
      const reply =
        this.#copy === copy
          ? this.#end(known ? error.result : 'failed', (error as Error).message)
          : FAIL;
      if (known) return reply;
      throw error;
    }
  }

  #within(ms: number, work: Promise<void>): Promise<void> {
    return new Promise((resolve, reject) => {
      const stop = this.#ports.after(ms, () =>
        reject(new FileProblem('failed', `the disk did not take it within ${ms / 1000} s`)),
      );
      work.then(resolve, reject).finally(stop);
    });
  }

  /**
   * Looks whether the copy gets on. Most parts of a file come past this service, so that it is not
   * told.
   */
  #tick(): void {
    const copy = this.#copy;
    if (!copy) return;
    const nowMs = this.#ports.now();
    const { positionBytes } = copy.incoming.sink;
    if (positionBytes !== copy.seenBytes || copy.syncing) {
      copy.seenBytes = positionBytes;
      copy.seenMs = nowMs;
    } else if (nowMs - copy.seenMs >= this.#limits.silenceSecs * 1000) {
      this.#end('silent', `nothing came for ${this.#limits.silenceSecs} s`);
      return;
    }
    this.#stopTicking = this.#ports.after(TICK_MS, () => this.#tick());
    this.#publish();
  }

  /** A start that leads to nothing. */
  #refused(result: Result, target: string, sizeBytes: bigint, reason: string): FcopyReply {
    const startedSecs = this.#ports.uptimeSecs();
    this.#tell({ target, sizeBytes: Number(sizeBytes), startedSecs }, 0, result, reason);
    return replyTo(result);
  }

  /** The copy is over, whatever became of it; nothing where there is none. */
  #end(result: Result, reason?: string): FcopyReply {
    const copy = this.#copy;
    if (!copy) return FAIL;
    this.#copy = undefined;
    this.#stopTicking?.();
    const { positionBytes } = copy.incoming.sink;
    copy.incoming.close();
    this.#tell(copy, positionBytes, result, reason);
    return replyTo(result);
  }

  #tell(
    { target, sizeBytes, startedSecs }: Pick<Copy, 'target' | 'sizeBytes' | 'startedSecs'>,
    receivedBytes: number,
    result: Result,
    reason: string | undefined,
  ): void {
    const { log, uptimeSecs } = this.#ports;
    const endedUptimeSecs = uptimeSecs();
    const seconds = Math.max(0, endedUptimeSecs - startedSecs);
    const because = reason === undefined ? {} : { reason };
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
    const fields = { target, sizeBytes, receivedBytes, ...because };
    const counters = this.#counters;
    switch (result) {
      case 'copied':
        counters.copied++;
        counters.bytes += sizeBytes;
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
    this.#publish();
  }

  /** At most once a second: a host can begin and end as many copies as it likes. */
  #publish(): void {
    if (this.#stopPublishing) return;
    const { now, after } = this.#ports;
    const dueMs = this.#publishedMs + TICK_MS - now();
    if (dueMs > 0) {
      this.#stopPublishing = after(dueMs, () => {
        this.#stopPublishing = undefined;
        this.#publish();
      });
      return;
    }
    this.#publishNow();
  }

  #publishNow(): void {
    this.#publishedMs = this.#ports.now();
    const copy = this.#copy;
    this.#ports.publish({
      ...(this.#peer === undefined ? {} : { peer: this.#peer }),
      ...(copy
        ? {
            copy: {
              target: copy.target,
              sizeBytes: copy.sizeBytes,
              receivedBytes: copy.incoming.sink.positionBytes,
              startedUptimeSecs: copy.startedSecs,
            },
          }
        : {}),
      last: [...this.#last],
      counters: { ...this.#counters },
    });
  }
}
