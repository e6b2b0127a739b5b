import type { FileSink, MessageChannel, NativeError } from '../../native/interface.ts';
import { HV_UTIL_TIMEOUT_SECS, type HvUtilsCodec } from '../../protocol/service-protocol.ts';
import type { Log } from '../log.ts';
import { partForm } from './part-form.ts';
import { Registration } from './registration.ts';
import { type Received, RequestLoop, unfit, type Wire, type WireListener } from './request-loop.ts';
import type { Keeping, Serving, Session, SessionEnd } from './session.ts';

/**
 * hv_utils gives up on a reply after a time, and would take a later one for the answer to its next
 * request. The session drops a reply from this long before that time.
 */
const DEADLINE_MARGIN_MS = 2000;

export interface HvUtilsSessionOptions<Request, Reply> {
  readonly codec: HvUtilsCodec<Request, Reply>;
  readonly keeping?: Keeping | undefined;
}

/**
 * Returns a session behind a char device of hv_utils: registration, then one request at a time. A
 * kept device is registered once for all lives. While a request is pending, hv_utils would take a
 * second registration for the answer to it.
 */
export const createHvUtilsSession = <Request, Reply extends { readonly status: number }>(
  channel: MessageChannel,
  options: HvUtilsSessionOptions<Request, Reply>,
  serving: Serving<Request, Reply>,
): Session => new RequestLoop(new HvUtilsWire(channel, options, serving), serving);

interface Message extends Received {
  readonly bytes: Uint8Array;
  /** The message up to the data of a part, as it came; only where requests carry parts. */
  readonly sample: Uint8Array | undefined;
}

class HvUtilsWire<Request, Reply extends { readonly status: number }>
  implements Wire<Message, Request, Reply>
{
  readonly channel: MessageChannel;
  readonly #codec: HvUtilsCodec<Request, Reply>;
  readonly #keeping: Keeping | undefined;
  readonly #serving: Serving<Request, Reply>;
  readonly #buffer: Uint8Array;
  /** The last message in `#buffer`. Made anew only for a message of another length. */
  #bytes: Uint8Array;
  readonly #registration: Registration;
  readonly counts = { requests: 0, malformed: 0, lateReplies: 0 };

  constructor(
    channel: MessageChannel,
    { codec, keeping }: HvUtilsSessionOptions<Request, Reply>,
    serving: Serving<Request, Reply>,
  ) {
    this.channel = channel;
    this.#codec = codec;
    this.#keeping = keeping;
    this.#serving = serving;
    // One byte more than a message: a longer one then shows as such instead of being cut
    this.#buffer = new Uint8Array(codec.messageBytes + 1);
    this.#bytes = this.#buffer.subarray(0, codec.messageBytes);
    this.#registration = new Registration(codec, keeping, serving);
  }

  start(listener: WireListener<Message>): void {
    this.channel.start(
      this.#buffer,
      (lengthBytes) => this.#take(lengthBytes, listener),
      (end) =>
        listener.end(end.reason === 'gone' ? end : { reason: 'reopen', why: end.error.message }),
    );
    if (this.#registration.state === 'registered') {
      if (this.#keeping?.peer) this.#serving.events.connected(this.#keeping.peer);
    } else {
      // A kernel that knows us refuses with EINVAL, which `#write` takes for what it is
      const end = this.#write(this.#codec.encodeRegistration());
      if (end) listener.end(end);
      this.#keeping?.begin();
    }
  }

  decode({ bytes }: Message): Request {
    return this.#codec.decodeRequest(bytes);
  }

  reply(
    { bytes, receivedMs }: Message,
    request: Request | undefined,
    reply: Reply,
  ): SessionEnd | undefined {
    const codec = this.#codec;
    const { hostLog, now } = this.#serving;
    if (now() - receivedMs > limitMs(codec, request)) {
      this.counts.lateReplies++;
      if (!this.#keeping)
        return { reason: 'reopen', why: 'a reply came too late for the kernel to take it' };
      hostLog.warning('Dropped a reply that came too late for the kernel to take it');
      return undefined;
    }
    try {
      codec.encodeReply(bytes, request, reply);
    } catch (error) {
      codec.encodeReply(bytes, undefined, { status: unfit(error, hostLog) } as Reply);
    }
    return this.#write(
      codec.replyBytes === undefined ? bytes : this.#buffer.subarray(0, codec.replyBytes),
    );
  }

  stream({ bytes, sample }: Message, sink: FileSink): void {
    const { part, replyBytes } = this.#codec;
    if (!part || !sample || replyBytes === undefined) return;
    const { length } = bytes;
    const message = { sample, bytes: length, bodyAt: 0, bodyBytes: length };
    const start = this.#buffer.slice(0, replyBytes);
    const reply = { start, bytes: replyBytes, limitMs: limitMs(this.#codec, undefined) };
    this.channel.stream(sink, partForm(part, message, reply));
  }

  /** What is unread stays in the device, because a channel reads only in answer to a poll. */
  leave(): boolean {
    return this.#registration.state === 'registered';
  }

  counters(): Readonly<Record<string, number>> {
    return this.counts;
  }

  #write(bytes: Uint8Array): SessionEnd | undefined {
    try {
      this.channel.write(bytes);
      return undefined;
    } catch (error) {
      return refused(error as NativeError, this.#keeping, this.#serving.hostLog);
    }
  }

  #take(lengthBytes: number, listener: WireListener<Message>): void {
    const codec = this.#codec;
    const { hostLog, events, now } = this.#serving;
    if (!isRequestLength(codec, lengthBytes) && !this.#registration.mayBeAnsweredIn(lengthBytes)) {
      this.counts.malformed++;
      hostLog.warning('Dropped a message of a wrong length', {
        expectedBytes: codec.messageBytes,
        actualBytes: lengthBytes,
      });
      return;
    }
    if (this.#bytes.length !== lengthBytes) this.#bytes = this.#buffer.subarray(0, lengthBytes);
    const bytes = this.#bytes;
    if (this.#registration.takes(bytes)) return;
    events.traffic();
    const sample = codec.part && bytes.slice(0, codec.part.dataAt);
    listener.serve({ bytes, receivedMs: now(), sample });
  }
}

const isRequestLength = <Request, Reply>(
  { messageBytes, leastBytes = messageBytes }: HvUtilsCodec<Request, Reply>,
  lengthBytes: number,
): boolean => lengthBytes >= leastBytes && lengthBytes <= messageBytes;

/** Returns how old a request may be that is still answered. */
function limitMs<Request, Reply>(
  codec: HvUtilsCodec<Request, Reply>,
  request: Request | undefined,
): number {
  const ownSecs = request === undefined ? undefined : codec.timeoutSecs?.(request);
  return (ownSecs || HV_UTIL_TIMEOUT_SECS) * 1000 - DEADLINE_MARGIN_MS;
}

/** Returns how a session ends whose message the kernel refused; undefined: it goes on. */
function refused(
  { code, message }: NativeError,
  keeping: Keeping | undefined,
  hostLog: Log,
): SessionEnd | undefined {
  // EBADF and a lost peer show on the next poll, if they last
  if (code !== 'EINVAL') return { reason: 'reopen', why: message };
  // Nothing is pending, as after a resume, after 30 s, or in a reloaded module
  if (!keeping) return { reason: 'reopen', why: 'the kernel no longer awaits this reply' };
  // A kept device is registered still: the kernel forgot one request, and others go on
  hostLog.notice('The kernel no longer awaits this reply');
  return undefined;
}
