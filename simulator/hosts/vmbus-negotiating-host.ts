import type { NegotiatedVersions } from '../../protocol/ic/negotiation.ts';
import { IC_NEGOTIATE } from '../../protocol/ic/packet.ts';
import { formatVersion } from '../../protocol/ic/version.ts';
import { deferred, HostError } from '../wire.ts';
import {
  describeVersions,
  encodeNegotiation,
  openAnswer,
  readNegotiation,
  type VersionsOffered,
} from './ic-messages.ts';
import { VmbusChannelHost, type VmbusChannelOptions } from './vmbus-channel-host.ts';

/** A channel on which the host negotiates as soon as a guest is there. */
export abstract class VmbusNegotiatingHost extends VmbusChannelHost {
  /** How many guests have agreed on versions. */
  readyCount = 0;
  readonly #offer: VersionsOffered;
  #versions: NegotiatedVersions | undefined;
  #waiting = deferred<string>();

  constructor(options: VmbusChannelOptions, offer: VersionsOffered) {
    super(options);
    this.#offer = offer;
  }

  ready(): Promise<string> {
    const versions = this.#versions;
    return versions ? Promise.resolve(describeVersions(versions)) : this.#waiting.promise;
  }

  nextReady(): Promise<string> {
    return this.#waiting.promise;
  }

  get versions(): NegotiatedVersions | undefined {
    return this.#versions;
  }

  /**
   * Negotiates (again). Requests sent after it use the outcome; undefined: no version in common,
   * the old one stays.
   */
  async negotiate(offer: VersionsOffered = this.#offer): Promise<NegotiatedVersions | undefined> {
    const message = encodeNegotiation(offer);
    const subject =
      `${offer.framework.map(formatVersion).join(' ')} / ` +
      `${offer.message.map(formatVersion).join(' ')}`;
    this.tap({ from: 'host', operation: 'negotiate', subject, bytes: message.length });
    const answer = await this.transact(message, 'negotiate');
    const { header, body } = this.checked(() => openAnswer(answer, IC_NEGOTIATE));
    const chosen = this.checked(() => readNegotiation(body, offer));
    this.tap({
      from: 'guest',
      operation: 'negotiate',
      subject: chosen ? describeVersions(chosen) : 'nothing in common',
      status: header.status,
      bytes: answer.length,
    });
    if (chosen) this.#versions = chosen;
    return chosen;
  }

  /** The bytes of a negotiation; `counts` gives it counts that need not be true. */
  encodeNegotiation(
    offer: VersionsOffered = this.#offer,
    counts?: { readonly frameworks: number; readonly messages: number },
  ): Uint8Array {
    return encodeNegotiation(offer, counts);
  }

  override close(): void {
    super.close();
    this.#waiting.reject(new HostError('dropped', 'the host was closed'));
  }

  /** What requests are sent with. Throws a HostError when no guest has negotiated. */
  protected get agreed(): NegotiatedVersions {
    if (!this.#versions) throw new HostError('gone', 'no guest has negotiated');
    return this.#versions;
  }

  /** Turns an Error of `work` into a violation by the guest. */
  protected checked<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      throw this.broken((error as Error).message);
    }
  }

  protected override onOpen(): void {
    void this.#greet();
  }

  protected override end(error: HostError): void {
    this.#versions = undefined;
    super.end(error);
  }

  /** What a host does first. */
  async #greet(): Promise<void> {
    try {
      const chosen = await this.negotiate();
      if (!chosen) throw this.broken('the guest supports none of the offered versions');
      this.readyCount++;
      const waiting = this.#waiting;
      this.#waiting = deferred();
      waiting.resolve(describeVersions(chosen));
    } catch (error) {
      // A guest that is gone or silent is left: the next one may do better.
      if (error instanceof HostError && error.code === 'broken') this.end(error);
    }
  }
}
