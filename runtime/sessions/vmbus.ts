import type { FileSink, NativeError, RingChannel } from '../../native/interface.ts';
import {
  decodeIcMessage,
  IC_BODY_OFFSET,
  IC_MAX_MESSAGE_BYTES,
  IC_NEGOTIATE,
  IcFlag,
  type IcHeader,
  markIcReply,
  PacketType,
} from '../../protocol/ic/packet.ts';
import { IcStatus } from '../../protocol/ic/status.ts';
import type { Version } from '../../protocol/ic/version.ts';
import { DecodeError } from '../../protocol/layout/index.ts';
import type { ServiceProtocol } from '../../protocol/service-protocol.ts';
import { partForm } from './part-form.ts';
import { type Received, RequestLoop, unfit, type Wire, type WireListener } from './request-loop.ts';
import type { Serving, Session, SessionEnd } from './session.ts';
import { type VersionOptions, Versions } from './versions.ts';

export interface VmbusSessionOptions<Request, Reply extends { readonly status: number }>
  extends VersionOptions {
  readonly protocol: ServiceProtocol<Request, Reply>;
}

/**
 * Returns a session on a VMBus channel: the wire handles headers and negotiation, the service each
 * request, in order. On a kept channel a later life goes on with what was agreed on. Where that is
 * not known, the header of each message says its version.
 */
export const createVmbusSession = <Request, Reply extends { readonly status: number }>(
  channel: RingChannel,
  options: VmbusSessionOptions<Request, Reply>,
  serving: Serving<Request, Reply>,
): Session => new RequestLoop(new VmbusWire(channel, options, serving), serving);

interface Packet extends Received {
  readonly payload: Uint8Array;
  /** The part of `payload` behind the headers. */
  readonly body: Uint8Array;
  readonly transactionId: bigint;
  readonly version: Version;
  /** The payload up to the data of a part, as it came; only where requests carry parts. */
  readonly sample: Uint8Array | undefined;
}

class VmbusWire<Request, Reply extends { readonly status: number }>
  implements Wire<Packet, Request, Reply>
{
  readonly channel: RingChannel;
  readonly #protocol: ServiceProtocol<Request, Reply>;
  readonly #serving: Serving<Request, Reply>;
  readonly #buffer = new Uint8Array(IC_MAX_MESSAGE_BYTES);
  readonly #versions: Versions;
  readonly counts = { requests: 0, malformed: 0, dropped: 0, negotiations: 0 };

  constructor(
    channel: RingChannel,
    options: VmbusSessionOptions<Request, Reply>,
    serving: Serving<Request, Reply>,
  ) {
    this.channel = channel;
    this.#protocol = options.protocol;
    this.#versions = new Versions(options, serving);
    this.#serving = serving;
  }

  start(listener: WireListener<Packet>): void {
    this.channel.start(
      this.#buffer,
      (type, _flags, transactionId, payloadBytes) => {
        if (type !== PacketType.inband) {
          this.#drop('Dropped a packet that carries no data', { packetType: type });
          return;
        }
        this.#serving.events.traffic();
        const payload = this.#buffer.subarray(0, payloadBytes);
        const end = this.#take(payload, transactionId, listener);
        if (end) listener.end(end);
      },
      (end) => listener.end(end.reason === 'gone' ? end : { reason: 'failed', error: end.error }),
    );
    this.#versions.start();
  }

  decode({ body, version }: Packet): Request {
    return this.#protocol.ic.decodeRequest(body, version);
  }

  reply(
    { payload, body, transactionId, version }: Packet,
    request: Request | undefined,
    reply: Reply,
  ): SessionEnd | undefined {
    let { status } = reply;
    if (status === IcStatus.ok && request !== undefined) {
      try {
        this.#protocol.ic.encodeReply(body, version, request, reply);
      } catch (error) {
        status = unfit(error, this.#serving.hostLog);
      }
    }
    return answer(this.channel, payload, transactionId, status);
  }

  stream({ payload, body, sample }: Packet, sink: FileSink): void {
    const { part } = this.#protocol.ic;
    if (!part || !sample) return;
    const bytes = payload.length;
    const message = { sample, bytes, bodyAt: IC_BODY_OFFSET, bodyBytes: body.length };
    const reply = { start: payload.slice(0, IC_BODY_OFFSET), bytes, limitMs: 0 };
    this.channel.stream(PacketType.inband, sink, partForm(part, message, reply));
  }

  leave(): boolean {
    return this.channel.leave();
  }

  counters(): Readonly<Record<string, number>> {
    return { ...this.counts, ...this.channel.statistics() };
  }

  /** Handles one packet of data. Returns how the session ends, where an answer can't be written. */
  #take(
    payload: Uint8Array,
    transactionId: bigint,
    listener: WireListener<Packet>,
  ): SessionEnd | undefined {
    const message = examine(payload);
    if (message instanceof DecodeError)
      return this.#drop('Dropped a packet with a bad header', { error: message });
    const { header, body } = message;
    const { messageType } = header;
    const { hostLog, now } = this.#serving;
    if ((header.flags & (IcFlag.request | IcFlag.response)) === IcFlag.response)
      return this.#drop('Dropped an answer to nothing we asked', { messageType });
    if (messageType === IC_NEGOTIATE) return this.#negotiate(payload, body, transactionId);
    if (messageType !== this.#protocol.messageType) {
      hostLog.warning('Refused a message of an unknown type', { messageType });
      return answer(this.channel, payload, transactionId, IcStatus.notSupported);
    }
    const version = this.#versions.of(header);
    if (!version) {
      hostLog.warning('Refused a request that came before a successful negotiation');
      return answer(this.channel, payload, transactionId, IcStatus.fail);
    }
    const { part } = this.#protocol.ic;
    const sample = part && payload.slice(0, IC_BODY_OFFSET + part.dataAt);
    listener.serve({ payload, body, transactionId, version, sample, receivedMs: now() });
    return undefined;
  }

  #negotiate(payload: Uint8Array, body: Uint8Array, transactionId: bigint): SessionEnd | undefined {
    const answered = this.#versions.answer(body);
    if (answered instanceof DecodeError)
      return this.#drop('Dropped a malformed negotiation', { error: answered });
    this.counts.negotiations++;
    return answer(this.channel, payload, transactionId, IcStatus.ok, answered);
  }

  #drop(why: string, fields: Record<string, unknown>): undefined {
    this.counts.dropped++;
    this.#serving.hostLog.warning(why, fields);
  }
}

/** Returns headers and body of a packet, or what is wrong with the headers. */
function examine(
  payload: Uint8Array,
): { readonly header: IcHeader; readonly body: Uint8Array } | DecodeError {
  try {
    return decodeIcMessage(payload);
  } catch (error) {
    if (error instanceof DecodeError) return error;
    throw error;
  }
}

/**
 * Sends a packet back as its own answer, at its own length, as hv_utils does. Returns how the
 * session ends, where that fails.
 */
function answer(
  channel: RingChannel,
  payload: Uint8Array,
  transactionId: bigint,
  status: number,
  bodySizeBytes?: number,
): SessionEnd | undefined {
  markIcReply(payload, status, bodySizeBytes);
  try {
    channel.write(PacketType.inband, 0, transactionId, payload);
    return undefined;
  } catch (thrown) {
    const error = thrown as NativeError;
    // All but a broken ring or a full queue means that the device went away (EPIPE, EIO, ENODEV)
    const isBroken = error.code === 'ERING' || error.code === 'ENOBUFS';
    return isBroken ? { reason: 'failed', error } : { reason: 'gone' };
  }
}
