import { encodeIcMessage, IC_BODY_OFFSET, IcFlag, PacketType } from '../../protocol/ic/packet.ts';
import type { ServiceProtocol } from '../../protocol/service-protocol.ts';
import { HostError, type ServiceHost, type ServiceView } from '../wire.ts';
import { openAnswer, type VersionsOffered } from './ic-messages.ts';
import type { VmbusChannelOptions } from './vmbus-channel-host.ts';
import { VmbusNegotiatingHost } from './vmbus-negotiating-host.ts';

export type { VersionsOffered } from './ic-messages.ts';
export { RawRing, RingMemory } from './ring-memory.ts';

export interface VmbusHostOptions<Request, Reply extends { readonly status: number }>
  extends VmbusChannelOptions {
  readonly protocol: ServiceProtocol<Request, Reply>;
  readonly view: ServiceView<Request, Reply>;
  readonly offer?: VersionsOffered;
}

/**
 * Plays a Hyper-V host on the VMBus channel of one service: negotiates as soon as a guest is there,
 * then sends requests, many at a time if asked to, and matches replies by their packet's
 * transaction id.
 */
export class VmbusHost<Request, Reply extends { readonly status: number }>
  extends VmbusNegotiatingHost
  implements ServiceHost<Request, Reply>
{
  readonly bodyOffset = IC_BODY_OFFSET;
  readonly #protocol: ServiceProtocol<Request, Reply>;
  readonly #view: ServiceView<Request, Reply>;
  #probeSerial = 0;

  constructor(options: VmbusHostOptions<Request, Reply>) {
    const { protocol, view, offer } = options;
    super(
      options,
      offer ?? { framework: protocol.frameworkVersions, message: protocol.messageVersions },
    );
    this.#protocol = protocol;
    this.#view = view;
  }

  async request(request: Request): Promise<Reply> {
    await this.ready();
    // What holds when it is sent holds for its reply, whatever is negotiated meanwhile.
    const version = this.agreed.message;
    const message = this.encode(request);
    const summary = this.#view.summarize(request);
    this.tap({ from: 'host', ...summary, bytes: message.length });
    const answer = await this.transact(message, summary.operation);
    const { header, body } = this.checked(() => openAnswer(answer, this.#protocol.messageType));
    let reply: Reply;
    try {
      reply = this.#protocol.ic.decodeReply(body, version, request, header.status);
    } catch (error) {
      const { message: why } = error as Error;
      throw new HostError('broken', `the guest's reply can't be read: ${why}`, error);
    }
    this.tap({
      from: 'guest',
      ...this.#view.summarize(request, reply),
      status: reply.status,
      bytes: answer.length,
    });
    return reply;
  }

  encode(request: Request): Uint8Array {
    const { framework, message } = this.agreed;
    const { messageType, ic } = this.#protocol;
    return encodeIcMessage(
      {
        frameworkVersion: framework,
        messageVersion: message,
        messageType,
        flags: IcFlag.transaction | IcFlag.request,
      },
      ic.encodeRequest(request, message),
    );
  }

  async exchange(message: Uint8Array): Promise<Uint8Array | undefined> {
    await this.ready();
    this.tap({ from: 'host', operation: 'raw', bytes: message.length });
    const answer = await this.transactions.collect(
      (id) => this.sendPacket(PacketType.inband, 0, id, message),
      () => this.transact(this.encode(this.#view.probe(++this.#probeSerial)), 'probe'),
    );
    this.tap({
      from: 'guest',
      operation: 'raw',
      bytes: answer?.length ?? 0,
      ...(answer ? { status: this.statusOf(answer) } : { subject: 'no answer' }),
    });
    return answer;
  }

  statusOf(reply: Uint8Array): number {
    if (reply.length < IC_BODY_OFFSET)
      throw new HostError('broken', `a reply of ${reply.length} bytes has no status`);
    return new DataView(reply.buffer, reply.byteOffset, reply.byteLength).getUint32(20, true);
  }
}

/** Earlier names of this module's exports, for tests of others. */
export { VmbusHost as RingHost, type VmbusHostOptions as RingHostOptions };
