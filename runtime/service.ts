import type { FileSink, Native } from '../native/interface.ts';
import type { Version } from '../protocol/ic/version.ts';
import type { ServiceProtocol } from '../protocol/service-protocol.ts';
import type { OptionTable, OptionValues } from './config.ts';
import type { Log, LogHold } from './log.ts';
import type { DaemonDeclaration } from './options.ts';
import type { StatusPlace } from './status/status.ts';

/**
 * Who is at the other end, told to a service whenever that becomes known or changes (registration,
 * each negotiation).
 */
export type Peer =
  | { readonly via: 'hv_utils'; readonly versionText: string }
  | { readonly via: 'vmbus'; readonly framework: Version; readonly message: Version };

/** A reply, and what is not for the peer but for the session. */
export type Answer<Reply> = Reply & {
  /**
   * The request just answered carried a part of a file. The channel may write the next parts there,
   * and answer them alike, without the service (runtime/sessions/part-form.ts).
   */
  readonly stream?: FileSink;
};

/**
 * What decides the answers. It does no I/O itself but through the ports it was made with, and
 * cannot tell which wire it serves.
 */
export interface Service<Request, Reply> {
  /**
   * Answers one request. A returned promise keeps the channel paused until it settles, so requests
   * never overtake each other; answer at once where possible. What is thrown becomes a failure
   * reply and an error in the log.
   */
  handle(request: Request): Answer<Reply> | Promise<Answer<Reply>>;
  connected(peer: Peer): void;
  /**
   * The channel ended (the device is gone, or opened anew): what the peer began it can no longer
   * end.
   */
  disconnected?(): void;
  /**
   * More is to come of what the peer has begun (something is frozen, or half copied): a process
   * started on demand must stay.
   */
  readonly busy?: boolean;
  /**
   * What it tells people of itself (`vmic status`), beside what the runtime does: plain JSON,
   * without what a host wants kept secret.
   */
  status?(): object;
  /**
   * What a returned promise awaits is done before the process ends. Called at once, without
   * waiting, on an internal error.
   */
  close(): void | Promise<void>;
}

/** What a service is made from. */
export interface ServiceContext<Options extends OptionTable> {
  readonly native: Native;
  readonly options: OptionValues<Options>;
  readonly log: Log;
  /** The same log behind a limit, for lines that a host can trigger at will. */
  readonly hostLog: Log;
  /** Of both logs. */
  readonly logHold: LogHold;
  /** Writes the status file now; otherwise changes of state and traffic write it. */
  publishStatus(): void;
  /** vmic's own version. */
  readonly version: string;
}

/**
 * A daemon: one protocol, one section of the configuration, one service. `main.ts` hands it to
 * `runProgram`.
 */
export interface Program<
  Request,
  Reply extends { readonly status: number },
  Options extends OptionTable,
> extends DaemonDeclaration<Options> {
  readonly protocol: ServiceProtocol<Request, Reply>;
  /**
   * How long one request may take before the process counts as stuck and the watchdog bites. 60
   * where not given.
   */
  readonly longestRequestSecs?: number;
  /** Where its status goes, when the configuration names a file. */
  statusPlace?(options: OptionValues<Options>): StatusPlace;
  /** Further protocol versions to offer, best first, when the configuration asks for them. */
  extraVersions?(options: OptionValues<Options>): readonly Version[];
  /**
   * Takes a channel that nobody has; resolves for why that was not done. Absent: that is left to
   * others (`vmic bind`).
   */
  bind?(log: Log): Promise<string | undefined>;
  create(context: ServiceContext<Options>): Service<Request, Reply>;
}
