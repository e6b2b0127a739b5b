import type { NativeError, RingChannel } from '../../native/interface.ts';
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
import type { MonotonicMs } from '../log.ts';
import type { Peer, Service } from '../service.ts';
import { PartStream } from './part-stream.ts';
import {
  answer,
  encoded,
  type Keeping,
  refuse,
  type Session,
  type SessionEnd,
  type SessionEvents,
  type SessionLogs,
} from './session.ts';

/**
 * A service on its VMBus channel: headers and negotiation are handled here, each request by the
 * service, in order. On a kept channel a later life goes on with what was agreed on; where that is
 * not known, each message's own header says its version.
 */
export function startIcSession<Request, Reply extends { readonly status: number }>(
  channel: RingChannel,
  {
    protocol,
    extraVersions,
  }: {
    readonly protocol: ServiceProtocol<Request, Reply>;
    readonly extraVersions: readonly Version[];
  },
  service: Service<Request, Reply>,
  { hostLog }: SessionLogs,
  events: SessionEvents,
  now: MonotonicMs,
  keeping?: Keeping,
): Session {
  const supported: VersionOffer = {
    frameworkVersions: protocol.frameworkVersions,
    messageVersions: [...extraVersions, ...protocol.messageVersions],
  };
  const buffer = new Uint8Array(IC_MAX_MESSAGE_BYTES);
  const parts = PartStream.on(protocol.ic.part, IC_BODY_OFFSET, 0);
  const counters = { requests: 0, malformed: 0, dropped: 0, negotiations: 0 };
  let versions = keeping?.begun ? kept(keeping.peer, supported) : undefined;
  let busySinceMs: number | undefined;
  let lastRequestMs: number | undefined;
  let ended = false;

  const end = (result: SessionEnd): void => {
    if (ended) return;
    ended = true;
    channel.close();
    events.ended(result);
  };

  const drop = (why: string, fields: Record<string, unknown>): void => {
    counters.dropped++;
    hostLog.warning(why, fields);
  };

  /** Sends the packet back as its own answer, at its own length, as hv_utils does. */
  const reply = (
    payload: Uint8Array,
    transactionId: bigint,
    status: number,
    bodySizeBytes?: number,
  ): void => {
    if (ended) return;
    markIcReply(payload, status, bodySizeBytes);
    try {
      channel.write(PacketType.inband, 0, transactionId, payload);
    } catch (thrown) {
      const error = thrown as NativeError;
      // Anything but a broken ring or a full queue: the device went away while we answered (EPIPE,
      // EIO, ENODEV)
      const broken = error.code === 'ERING' || error.code === 'ENOBUFS';
      end(broken ? { reason: 'failed', error } : { reason: 'gone' });
    }
  };

  const onNegotiation = (payload: Uint8Array, body: Uint8Array, transactionId: bigint): void => {
    let offered: VersionOffer;
    try {
      offered = negotiation.decode(body);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      drop('Dropped a malformed negotiation', { error });
      return;
    }
    counters.negotiations++;
    versions = negotiate(offered, supported);
    const bodySizeBytes = encodeNegotiationAnswer(body, versions);
    // Before the host knows: a later life must not know less than the host
    if (versions) {
      events.connected({ via: 'vmbus', ...versions });
      keeping?.begin();
    }
    reply(payload, transactionId, IcStatus.ok, bodySizeBytes);
    if (!versions) hostLog.error('No version in common with the host', { offered, supported });
  };

  const onRequest = (
    payload: Uint8Array,
    body: Uint8Array,
    transactionId: bigint,
    version: Version,
  ): void => {
    counters.requests++;
    const receivedMs = now();
    lastRequestMs = receivedMs;
    let request: Request;
    try {
      request = protocol.ic.decodeRequest(body, version);
    } catch (error) {
      counters.malformed++;
      reply(payload, transactionId, refuse(error, hostLog));
      return;
    }
    const sample = parts?.sample(payload);
    const answered = answer(service, request, hostLog, (result) => {
      busySinceMs = undefined;
      const encode = (ok: Reply): void => protocol.ic.encodeReply(body, version, request, ok);
      reply(
        payload,
        transactionId,
        result.status === IcStatus.ok ? encoded(result, hostLog, encode) : result.status,
      );
      if (!parts || !sample || !result.stream || ended) return;
      const form = parts.form(sample, payload, {
        endAt: IC_BODY_OFFSET + body.length,
        headBytes: IC_BODY_OFFSET,
        answerBytes: payload.length,
      });
      channel.stream(PacketType.inband, result.stream, form);
    });
    if (answered === 'answered') return;
    busySinceMs = receivedMs;
    channel.pause();
    void answered.then(() => {
      if (!ended) channel.resume();
    });
  };

  const onPacket = (
    type: number,
    _flags: number,
    transactionId: bigint,
    payloadBytes: number,
  ): void => {
    if (type !== PacketType.inband) {
      drop('Dropped a packet that carries no data', { packetType: type });
      return;
    }
    events.traffic();
    const payload = buffer.subarray(0, payloadBytes);
    let message: { readonly header: IcHeader; readonly body: Uint8Array };
    try {
      message = decodeIcMessage(payload);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      drop('Dropped a packet with a bad header', { error });
      return;
    }
    const { header, body } = message;
    if ((header.flags & (IcFlag.request | IcFlag.response)) === IcFlag.response) {
      drop('Dropped an answer to nothing we asked', { messageType: header.messageType });
    } else if (header.messageType === IC_NEGOTIATE) {
      onNegotiation(payload, body, transactionId);
    } else if (header.messageType !== protocol.messageType) {
      hostLog.warning('Refused a message of an unknown type', { messageType: header.messageType });
      reply(payload, transactionId, IcStatus.notSupported);
    } else {
      const version =
        versions?.message ?? (keeping?.begun ? known(header.messageVersion) : undefined);
      if (version) {
        onRequest(payload, body, transactionId, version);
      } else {
        hostLog.warning('Refused a request that came before a successful negotiation');
        reply(payload, transactionId, IcStatus.fail);
      }
    }
  };

  const known = (claimed: Version): Version | undefined =>
    supported.messageVersions.find((version) => sameVersion(version, claimed));

  channel.start(buffer, onPacket, (reason) =>
    end(reason.reason === 'gone' ? reason : { reason: 'failed', error: reason.error }),
  );
  if (versions) events.connected({ via: 'vmbus', ...versions });
  return {
    get busySinceMs() {
      return busySinceMs;
    },
    get lastRequestMs() {
      return lastRequestMs;
    },
    leave: () => {
      if (ended || busySinceMs !== undefined || !channel.leave()) return false;
      ended = true;
      channel.close();
      return true;
    },
    counters: () => ({ ...counters, ...channel.statistics() }),
    close: () => {
      ended = true;
      channel.close();
    },
  };
}

/**
 * What an earlier life agreed on, if it is among what we support: an older or newer program may
 * have been there.
 */
function kept(peer: Peer | undefined, supported: VersionOffer): NegotiatedVersions | undefined {
  if (peer?.via !== 'vmbus') return undefined;
  const { framework, message } = peer;
  return negotiate({ frameworkVersions: [framework], messageVersions: [message] }, supported);
}
