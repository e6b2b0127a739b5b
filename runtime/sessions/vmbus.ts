import type { FileSink, NativeError, RingChannel } from '../../native/interface.ts';
import {
  encodeNegotiationAnswer,
  type NegotiatedVersions,
  negotiate,
  negotiation,
  type VersionOffer,
} from '../../protocol/ic/negotiation.ts';
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
import { sameVersion, type Version } from '../../protocol/ic/version.ts';
import { DecodeError } from '../../protocol/layout/index.ts';
import type { ServiceProtocol } from '../../protocol/service-protocol.ts';
import type { Peer } from '../service.ts';
import { type Received, RequestLoop, unfit, type Wire, type WireListener } from './request-loop.ts';
import type { Keeping, Serving, Session, SessionEnd } from './session.ts';

export interface VmbusSessionOptions<Request, Reply extends { readonly status: number }> {
  readonly protocol: ServiceProtocol<Request, Reply>;
  /** Message versions to offer before those of the protocol. */
  readonly extraVersions: readonly Version[];
  readonly keeping?: Keeping | undefined;
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

/** What host and guest have agreed on. */
type Agreement =
  | { readonly is: 'made'; readonly versions: NegotiatedVersions }
  /** By an earlier life, but on what is not known. */
  | { readonly is: 'unknown' }
  | { readonly is: 'missing' };

class VmbusWire<Request, Reply extends { readonly status: number }>
  implements Wire<Packet, Request, Reply>
{
  readonly #channel: RingChannel;
  readonly #protocol: ServiceProtocol<Request, Reply>;
  readonly #supported: VersionOffer;
  readonly #keeping: Keeping | undefined;
  readonly #serving: Serving<Request, Reply>;
  readonly #buffer = new Uint8Array(IC_MAX_MESSAGE_BYTES);
  #agreement: Agreement;
  readonly counts = { requests: 0, malformed: 0, dropped: 0, negotiations: 0 };

  constructor(
    channel: RingChannel,
    { protocol, extraVersions, keeping }: VmbusSessionOptions<Request, Reply>,
    serving: Serving<Request, Reply>,
  ) {
    this.#channel = channel;
    this.#protocol = protocol;
    this.#supported = {
      frameworkVersions: protocol.frameworkVersions,
      messageVersions: [...extraVersions, ...protocol.messageVersions],
    };
    this.#keeping = keeping;
    this.#serving = serving;
    this.#agreement = this.#agreed(
      keeping?.begun ? kept(keeping.peer, this.#supported) : undefined,
    );
  }

  start(listener: WireListener<Packet>): void {
    this.#channel.start(
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
    if (this.#agreement.is === 'made')
      this.#serving.events.connected({ via: 'vmbus', ...this.#agreement.versions });
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
    return this.#write(payload, transactionId, status);
  }

  stream({ payload, body, sample }: Packet, sink: FileSink): void {
    const { part } = this.#protocol.ic;
    if (!part || !sample) return;
    this.#channel.stream(PacketType.inband, sink, {
      sample,
      messageBytes: payload.length,
      offsetAt: IC_BODY_OFFSET + part.offsetAt,
      sizeAt: IC_BODY_OFFSET + part.sizeAt,
      roomBytes: Math.min(part.maxDataBytes, body.length - part.dataAt),
      answer: payload.slice(0, IC_BODY_OFFSET),
      answerBytes: payload.length,
      limitMs: 0,
    });
  }

  pause(): void {
    this.#channel.pause();
  }

  resume(): void {
    this.#channel.resume();
  }

  leave(): boolean {
    return this.#channel.leave();
  }

  counters(): Readonly<Record<string, number>> {
    return { ...this.counts, ...this.#channel.statistics() };
  }

  close(): void {
    this.#channel.close();
  }

  /** Handles one packet of data. Returns how the session ends, where an answer can't be written. */
  #take(
    payload: Uint8Array,
    transactionId: bigint,
    listener: WireListener<Packet>,
  ): SessionEnd | undefined {
    let message: { readonly header: IcHeader; readonly body: Uint8Array };
    try {
      message = decodeIcMessage(payload);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      return this.#drop('Dropped a packet with a bad header', { error });
    }
    const { header, body } = message;
    const { messageType } = header;
    const { hostLog, now } = this.#serving;
    if ((header.flags & (IcFlag.request | IcFlag.response)) === IcFlag.response)
      return this.#drop('Dropped an answer to nothing we asked', { messageType });
    if (messageType === IC_NEGOTIATE) return this.#negotiate(payload, body, transactionId);
    if (messageType !== this.#protocol.messageType) {
      hostLog.warning('Refused a message of an unknown type', { messageType });
      return this.#write(payload, transactionId, IcStatus.notSupported);
    }
    const version = this.#versionOf(header);
    if (!version) {
      hostLog.warning('Refused a request that came before a successful negotiation');
      return this.#write(payload, transactionId, IcStatus.fail);
    }
    const { part } = this.#protocol.ic;
    const sample = part && payload.slice(0, IC_BODY_OFFSET + part.dataAt);
    listener.serve({ payload, body, transactionId, version, sample, receivedMs: now() });
    return undefined;
  }

  #negotiate(payload: Uint8Array, body: Uint8Array, transactionId: bigint): SessionEnd | undefined {
    const { hostLog, events } = this.#serving;
    let offered: VersionOffer;
    try {
      offered = negotiation.decode(body);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      return this.#drop('Dropped a malformed negotiation', { error });
    }
    this.counts.negotiations++;
    const versions = negotiate(offered, this.#supported);
    this.#agreement = this.#agreed(versions);
    const bodySizeBytes = encodeNegotiationAnswer(body, versions);
    // Before the host knows: a later life must not know less than the host
    if (versions) {
      events.connected({ via: 'vmbus', ...versions });
      this.#keeping?.begin();
    }
    const end = this.#write(payload, transactionId, IcStatus.ok, bodySizeBytes);
    if (!versions)
      hostLog.error('No version in common with the host', { offered, supported: this.#supported });
    return end;
  }

  #agreed(versions: NegotiatedVersions | undefined): Agreement {
    if (versions) return { is: 'made', versions };
    return { is: this.#keeping?.begun ? 'unknown' : 'missing' };
  }

  #versionOf({ messageVersion }: IcHeader): Version | undefined {
    const agreement = this.#agreement;
    switch (agreement.is) {
      case 'made':
        return agreement.versions.message;
      case 'unknown':
        return this.#supported.messageVersions.find((known) => sameVersion(known, messageVersion));
      case 'missing':
        return undefined;
    }
  }

  #drop(why: string, fields: Record<string, unknown>): undefined {
    this.counts.dropped++;
    this.#serving.hostLog.warning(why, fields);
  }

  /**
   * Sends the packet back as its own answer, at its own length, as hv_utils does. Returns how the
   * session ends, where that fails.
   */
  #write(
    payload: Uint8Array,
    transactionId: bigint,
    status: number,
    bodySizeBytes?: number,
  ): SessionEnd | undefined {
    markIcReply(payload, status, bodySizeBytes);
    try {
      this.#channel.write(PacketType.inband, 0, transactionId, payload);
      return undefined;
    } catch (thrown) {
      const error = thrown as NativeError;
      // All but a broken ring or a full queue means that the device went away (EPIPE, EIO, ENODEV)
      const isBroken = error.code === 'ERING' || error.code === 'ENOBUFS';
      return isBroken ? { reason: 'failed', error } : { reason: 'gone' };
    }
  }
}

/**
 * Returns what an earlier life agreed on, if we support it. That life may have been an older or a
 * newer program.
 */
function kept(peer: Peer | undefined, supported: VersionOffer): NegotiatedVersions | undefined {
  if (peer?.via !== 'vmbus') return undefined;
  const { framework, message } = peer;
  return negotiate({ frameworkVersions: [framework], messageVersions: [message] }, supported);
}
