import type { FileSink, MessageChannel } from '../../native/interface.ts';
import { IcStatus } from '../../protocol/ic/status.ts';
import { DecodeError, LayoutError } from '../../protocol/layout/index.ts';
import type { Log } from '../log.ts';
import type { Answer } from '../service.ts';
import type { Serving, Session, SessionEnd } from './session.ts';

/** A request as it came. Its bytes stay until its reply, because the loop reads nothing between. */
export interface Received {
  /** Monotonic. */
  readonly receivedMs: number;
}

/** Counters that the loop keeps for every wire. */
export interface RequestCounts {
  requests: number;
  malformed: number;
}

/** What a wire tells the loop. */
export interface WireListener<Message extends Received> {
  /** Answers one request. */
  serve(message: Message): void;
  end(end: SessionEnd): void;
}

/**
 * How requests and replies look on one channel. The wire itself handles every message that is not
 * a request of the service: registration, negotiation, and what it drops or refuses.
 */
export interface Wire<Message extends Received, Request, Reply> {
  /** The loop pauses it, and closes it. */
  readonly channel: Pick<MessageChannel, 'pause' | 'resume' | 'close'>;
  readonly counts: RequestCounts;
  /** Starts reading, and gives each request to `listener`. */
  start(listener: WireListener<Message>): void;
  /** Throws DecodeError. */
  decode(message: Message): Request;
  /**
   * Writes the reply to the request that came last. `request` is undefined where it could not be
   * decoded. Returns how the session ends, where it can't go on.
   */
  reply(message: Message, request: Request | undefined, reply: Reply): SessionEnd | undefined;
  /** Has the channel itself take requests like this one, whose data goes to `sink`. */
  stream(message: Message, sink: FileSink): void;
  /** Stops reading, if nothing waits. False: all goes on. */
  leave(): boolean;
  counters(): Readonly<Record<string, number>>;
}

type State =
  | { readonly is: 'idle' }
  /** The service has returned a promise, and the wire is paused. */
  | { readonly is: 'working'; readonly sinceMs: number }
  | { readonly is: 'ended' };
const IDLE: State = { is: 'idle' };
const ENDED: State = { is: 'ended' };

/**
 * Has a service answer the requests of one wire, in order. A reply that the service returns at once
 * is written at once: that way leaves neither the stack the request came on, nor anything behind.
 */
export class RequestLoop<
  Message extends Received,
  Request,
  Reply extends { readonly status: number },
> implements Session, WireListener<Message>
{
  readonly #wire: Wire<Message, Request, Reply>;
  readonly #serving: Serving<Request, Reply>;
  #state = IDLE;
  #lastRequestMs: number | undefined;

  constructor(wire: Wire<Message, Request, Reply>, serving: Serving<Request, Reply>) {
    this.#wire = wire;
    this.#serving = serving;
  }

  start(): void {
    this.#wire.start(this);
  }

  get busySinceMs(): number | undefined {
    return this.#state.is === 'working' ? this.#state.sinceMs : undefined;
  }

  get lastRequestMs(): number | undefined {
    return this.#lastRequestMs;
  }

  counters(): Readonly<Record<string, number>> {
    return this.#wire.counters();
  }

  serve(message: Message): void {
    const wire = this.#wire;
    wire.counts.requests++;
    this.#lastRequestMs = message.receivedMs;
    let request: Request;
    try {
      request = wire.decode(message);
    } catch (error) {
      wire.counts.malformed++;
      const status = refuse(error, this.#serving.hostLog);
      this.#reply(message, undefined, { status } as Answer<Reply>);
      return;
    }
    const answer = this.#handle(request);
    if (answer instanceof Promise) this.#await(message, request, answer);
    else this.#reply(message, request, answer);
  }

  end(end: SessionEnd): void {
    if (this.#state.is === 'ended') return;
    this.close();
    this.#serving.events.ended(end);
  }

  leave(): boolean {
    if (this.#state.is !== 'idle' || !this.#wire.leave()) return false;
    this.close();
    return true;
  }

  close(): void {
    this.#state = ENDED;
    this.#wire.channel.close();
  }

  #handle(request: Request): Answer<Reply> | Promise<Answer<Reply>> {
    try {
      return this.#serving.service.handle(request);
    } catch (error) {
      return this.#failed(error);
    }
  }

  #failed(error: unknown): Answer<Reply> {
    this.#serving.hostLog.error('A request failed inside the service; the host was told so', {
      error,
      stack: (error as Error).stack,
    });
    return { status: IcStatus.fail } as Answer<Reply>;
  }

  #await(message: Message, request: Request, answer: Promise<Answer<Reply>>): void {
    this.#state = { is: 'working', sinceMs: message.receivedMs };
    this.#wire.channel.pause();
    void answer
      .catch((error: unknown) => this.#failed(error))
      .then((reply) => {
        if (this.#state.is === 'ended') return;
        this.#state = IDLE;
        this.#reply(message, request, reply);
        if (this.#state.is === 'idle') this.#wire.channel.resume();
      });
  }

  #reply(message: Message, request: Request | undefined, reply: Answer<Reply>): void {
    if (this.#state.is === 'ended') return;
    const end = this.#wire.reply(message, request, reply);
    if (end) this.end(end);
    else if (reply.stream) this.#wire.stream(message, reply.stream);
  }
}

/** Returns the status that a body which can't be decoded is answered with. */
function refuse(error: unknown, log: Log): number {
  if (!(error instanceof DecodeError)) throw error;
  log.warning('Refused a malformed request', { code: error.code, error });
  return IcStatus.invalidArgument;
}

/**
 * Returns the status that goes out instead of a reply which does not fit its message. That is a
 * fault of ours.
 */
export function unfit(error: unknown, log: Log): number {
  if (!(error instanceof LayoutError)) throw error;
  log.error('A reply does not fit its message; the host was told that the request failed', {
    error,
  });
  return IcStatus.fail;
}
