import type { NativeError } from '../../native/interface.ts';
import { IcStatus } from '../../protocol/ic/status.ts';
import { DecodeError, LayoutError } from '../../protocol/layout/index.ts';
import type { Log } from '../log.ts';
import type { Answer, Peer, Service } from '../service.ts';

/**
 * How a session ended: `reopen` at once (the peer forgot us), the peer is `gone` (wait for it), or
 * it can't go on.
 */
export type SessionEnd =
  | { readonly reason: 'reopen'; readonly why: string }
  | { readonly reason: 'gone' }
  | { readonly reason: 'failed'; readonly error: NativeError };

/** One open channel in use. */
export interface Session {
  /**
   * Milliseconds (monotonic) since which one request is being worked on; undefined when none is.
   */
  readonly busySinceMs: number | undefined;
  /** When the last request came (monotonic); undefined: none did. */
  readonly lastRequestMs: number | undefined;
  /**
   * Stops reading for good, if nothing waits and nothing is being worked on: what comes from then
   * on waits for whoever has the channel next. Otherwise false, and all goes on.
   */
  leave(): boolean;
  /** Counters for people, by name. */
  counters(): Readonly<Record<string, number>>;
  close(): void;
}

export interface SessionEvents {
  /**
   * The peer is there: hv_utils took the registration, or a host negotiated (which it may do again
   * at any time).
   */
  connected(peer: Peer): void;
  /** Something came from the peer. Called with each message: has to be quick. */
  traffic(): void;
  /** Called once; the session has closed its channel. */
  ended(end: SessionEnd): void;
}

/**
 * A channel that somebody holds open between our lives, so that it can't be opened anew, and needs
 * no beginning in later ones.
 */
export interface Keeping {
  /** An earlier process has registered, or negotiated. */
  readonly begun: boolean;
  /** Who answered it, where that is known. */
  readonly peer: Peer | undefined;
  /** Remembers that this process has. */
  begin(): void;
}

/**
 * Where a session writes: there is nothing in it that a peer can't cause, so only through a limited
 * log.
 */
export interface SessionLogs {
  readonly hostLog: Log;
}

/**
 * Has a service answer one request, whatever it throws. Replies at once when the service does, so
 * that the common case never leaves the stack it came on.
 */
export function answer<Request, Reply extends { readonly status: number }>(
  service: Service<Request, Reply>,
  request: Request,
  hostLog: Log,
  reply: (reply: Answer<Reply>) => void,
): 'answered' | Promise<void> {
  const failed = (error: unknown): Answer<Reply> => {
    hostLog.error('A request failed inside the service; the host was told so', {
      error,
      stack: (error as Error).stack,
    });
    return { status: IcStatus.fail } as Answer<Reply>;
  };
  let result: Answer<Reply> | Promise<Answer<Reply>>;
  try {
    result = service.handle(request);
  } catch (error) {
    result = failed(error);
  }
  if (result instanceof Promise) return result.catch(failed).then(reply);
  reply(result);
  return 'answered';
}

/**
 * Encodes a reply; the status that has to go out instead when it doesn't fit its message, which is
 * a fault of ours.
 */
export function encoded<Reply extends { readonly status: number }>(
  reply: Reply,
  log: Log,
  encode: (reply: Reply) => void,
): number {
  try {
    encode(reply);
    return reply.status;
  } catch (error) {
    if (!(error instanceof LayoutError)) throw error;
    log.error('A reply does not fit its message; the host was told that the request failed', {
      error,
    });
    return IcStatus.fail;
  }
}

/** The status a body that can't be decoded is answered with; rethrows what is no decoding error. */
export function refuse(error: unknown, log: Log): number {
  if (!(error instanceof DecodeError)) throw error;
  log.warning('Refused a malformed request', { code: error.code, error });
  return IcStatus.invalidArgument;
}
