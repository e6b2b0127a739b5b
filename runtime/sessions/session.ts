import type { NativeError } from '../../native/interface.ts';
import type { MonotonicMs } from '../clock.ts';
import type { Log } from '../log.ts';
import type { Peer, Service } from '../service.ts';

/**
 * How a session ended. `reopen`: the peer forgot us, so the channel is opened again at once.
 * `gone`: the peer went away, so the daemon waits for it. `failed`: the channel is broken.
 */
export type SessionEnd =
  | { readonly reason: 'reopen'; readonly why: string }
  | { readonly reason: 'gone' }
  | { readonly reason: 'failed'; readonly error: NativeError };

/** One open channel in use. */
export interface Session {
  /** Starts reading. Called once. */
  start(): void;
  /** When the request came that the service works on (monotonic); undefined: there is none. */
  readonly busySinceMs: number | undefined;
  /** When the last request came (monotonic); undefined: none did. */
  readonly lastRequestMs: number | undefined;
  /**
   * Stops reading for good and returns true, if nothing waits and the service works on nothing.
   * What comes from then on waits for the next user of the channel. Otherwise the session goes on.
   */
  leave(): boolean;
  /** Counters for people, by name. */
  counters(): Readonly<Record<string, number>>;
  close(): void;
}

export interface SessionEvents {
  /**
   * Called when hv_utils took the registration, and after each negotiation. A host may negotiate
   * again at any time.
   */
  connected(peer: Peer): void;
  /** Called with each message of the peer. Has to be quick. */
  traffic(): void;
  /** Called once, after the session has closed its channel. */
  ended(end: SessionEnd): void;
}

/** What a session of either wire is made with. */
export interface Serving<Request, Reply> {
  readonly service: Service<Request, Reply>;
  /** A limited log, because a peer can cause every line of a session. */
  readonly hostLog: Log;
  readonly events: SessionEvents;
  readonly now: MonotonicMs;
}

/**
 * A channel that another process holds open between our lives. A daemon can't open it anew, and
 * later lives need not register or negotiate.
 */
export interface Keeping {
  /** An earlier process has registered, or negotiated. */
  readonly begun: boolean;
  /** Who answered that process, where it is known. */
  readonly peer: Peer | undefined;
  /** Remembers that this process has registered, or negotiated. */
  begin(): void;
}
