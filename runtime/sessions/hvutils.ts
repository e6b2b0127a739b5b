import type { FileSink, MessageChannel, NativeError } from '../../native/interface.ts';
import { HV_UTIL_TIMEOUT_SECS, type HvUtilsCodec } from '../../protocol/service-protocol.ts';
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

/** What a message is taken for. Until the registration is answered, each may be its answer. */
type MessageKind = 'registration' | 'request' | 'wrong length';

class HvUtilsWire<Request, Reply extends { readonly status: number }>
  implements Wire<Message, Request, Reply>
{
  readonly #channel: MessageChannel;
  readonly #codec: HvUtilsCodec<Request, Reply>;
  readonly #keeping: Keeping | undefined;
  readonly #serving: Serving<Request, Reply>;
  readonly #buffer: Uint8Array;
  /** The last message in `#buffer`. Made anew only for a message of another length. */
  #bytes: Uint8Array;
  #state: 'registering' | 'registered';
  readonly counts = { requests: 0, malformed: 0, lateReplies: 0 };

  constructor(
    channel: MessageChannel,
    { codec, keeping }: HvUtilsSessionOptions<Request, Reply>,
    serving: Serving<Request, Reply>,
  ) {
    this.#channel = channel;
    this.#codec = codec;
    this.#keeping = keeping;
    this.#serving = serving;
    // One byte more than a message: a longer one then shows as such instead of being cut
    this.#buffer = new Uint8Array(codec.messageBytes + 1);
    this.#bytes = this.#buffer.subarray(0, codec.messageBytes);
    this.#state = keeping?.begun ? 'registered' : 'registering';
  }

  start(listener: WireListener<Message>): void {
    this.#channel.start(
      this.#buffer,
      (lengthBytes) => this.#take(lengthBytes, listener),
      (end) =>
        listener.end(end.reason === 'gone' ? end : { reason: 'reopen', why: end.error.message }),
    );
    if (this.#state === 'registering') {
      // A kernel that knows us refuses with EINVAL, which `#write` takes for what it is
      const end = this.#write(this.#codec.encodeRegistration());
      if (end) listener.end(end);
      this.#keeping?.begin();
    } else if (this.#keeping?.peer) this.#serving.events.connected(this.#keeping.peer);
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
    const timeoutSecs =
      (request !== undefined && codec.timeoutSecs?.(request)) || HV_UTIL_TIMEOUT_SECS;
    if (now() - receivedMs > timeoutSecs * 1000 - DEADLINE_MARGIN_MS) {
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
    this.#channel.stream(sink, {
      sample,
      messageBytes: bytes.length,
      offsetAt: part.offsetAt,
      sizeAt: part.sizeAt,
      roomBytes: Math.min(part.maxDataBytes, bytes.length - part.dataAt),
      answer: this.#buffer.slice(0, replyBytes),
      answerBytes: replyBytes,
      limitMs: HV_UTIL_TIMEOUT_SECS * 1000 - DEADLINE_MARGIN_MS,
    });
  }

  pause(): void {
    this.#channel.pause();
  }

  resume(): void {
    this.#channel.resume();
  }

  /** What is unread stays in the device, because a channel reads only in answer to a poll. */
  leave(): boolean {
    return this.#state === 'registered';
  }

  counters(): Readonly<Record<string, number>> {
    return this.counts;
  }

  close(): void {
    this.#channel.close();
  }

  #take(lengthBytes: number, listener: WireListener<Message>): void {
    const { hostLog, events, now } = this.#serving;
    switch (this.#kindOf(lengthBytes)) {
      case 'wrong length':
        this.counts.malformed++;
        hostLog.warning('Dropped a message of a wrong length', {
          expectedBytes: this.#codec.messageBytes,
          actualBytes: lengthBytes,
        });
        return;
      case 'registration':
        this.#register();
        return;
      case 'request': {
        events.traffic();
        const bytes = this.#bytes;
        const { part } = this.#codec;
        listener.serve({
          bytes,
          receivedMs: now(),
          sample: part && bytes.slice(0, part.dataAt),
        });
      }
    }
  }

  /** Looks at the message of this length in the buffer, which becomes `#bytes`. */
  #kindOf(lengthBytes: number): MessageKind {
    const codec = this.#codec;
    const { messageBytes } = codec;
    // On a kept device the answer to a registration may reach a later life than the one that asked
    const mayRegister = this.#state === 'registering' || this.#keeping !== undefined;
    const hasLengthOfRegistration =
      mayRegister && lengthBytes === (codec.registrationAnswerBytes ?? messageBytes);
    const hasLengthOfRequest =
      lengthBytes <= messageBytes && lengthBytes >= (codec.leastBytes ?? messageBytes);
    if (!hasLengthOfRegistration && !hasLengthOfRequest) return 'wrong length';
    if (this.#bytes.length !== lengthBytes) this.#bytes = this.#buffer.subarray(0, lengthBytes);
    if (this.#state === 'registering') return 'registration';
    return this.#keeping && codec.decodeRegistration(this.#bytes) !== undefined
      ? 'registration'
      : 'request';
  }

  #register(): void {
    const versionText = this.#codec.decodeRegistration(this.#bytes);
    if (versionText === undefined) {
      // A request of a moment before: hv_utils sends it again, or fails it, after the registration
      this.#serving.hostLog.warning(
        'Ignored a message that came before the registration was answered',
      );
      return;
    }
    this.#state = 'registered';
    this.#serving.events.connected({ via: 'hv_utils', versionText });
  }

  /** Writes one message. Returns how the session ends, where the kernel refuses it. */
  #write(bytes: Uint8Array): SessionEnd | undefined {
    try {
      this.#channel.write(bytes);
      return undefined;
    } catch (error) {
      const { code, message } = error as NativeError;
      // EBADF and a lost peer show on the next poll, if they last
      if (code !== 'EINVAL') return { reason: 'reopen', why: message };
      // Nothing is pending, as after a resume, after 30 s, or in a reloaded module
      if (!this.#keeping)
        return { reason: 'reopen', why: 'the kernel no longer awaits this reply' };
      // A kept device is registered still: the kernel forgot one request, and others go on
      this.#serving.hostLog.notice('The kernel no longer awaits this reply');
      return undefined;
    }
  }
}
