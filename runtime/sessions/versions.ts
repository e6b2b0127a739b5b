import {
  encodeNegotiationAnswer,
  type NegotiatedVersions,
  negotiate,
  negotiation,
  type VersionOffer,
} from '../../protocol/ic/negotiation.ts';
import type { IcHeader } from '../../protocol/ic/packet.ts';
import { sameVersion, type Version } from '../../protocol/ic/version.ts';
import { DecodeError } from '../../protocol/layout/index.ts';
import type { ServiceProtocol } from '../../protocol/service-protocol.ts';
import type { Peer } from '../service.ts';
import type { Keeping, Serving } from './session.ts';

/** What host and guest have agreed on. */
type Agreement =
  | { readonly is: 'made'; readonly versions: NegotiatedVersions }
  /** An earlier life made it, but on what is not known. */
  | { readonly is: 'unknown' }
  | { readonly is: 'missing' };

export interface VersionOptions {
  readonly protocol: Pick<
    ServiceProtocol<unknown, { readonly status: number }>,
    'frameworkVersions' | 'messageVersions'
  >;
  /** Message versions to offer before those of the protocol. */
  readonly extraVersions: readonly Version[];
  readonly keeping?: Keeping | undefined;
}

type Listener = Pick<Serving<never, never>, 'events' | 'hostLog'>;

/** The versions of one VMBus channel: what we support, and what was agreed on. */
export class Versions {
  readonly #supported: VersionOffer;
  readonly #keeping: Keeping | undefined;
  readonly #listener: Listener;
  #agreement: Agreement;

  constructor({ protocol, extraVersions, keeping }: VersionOptions, listener: Listener) {
    const supported = {
      frameworkVersions: protocol.frameworkVersions,
      messageVersions: [...extraVersions, ...protocol.messageVersions],
    };
    this.#supported = supported;
    this.#keeping = keeping;
    this.#listener = listener;
    this.#agreement = this.#agree(keeping?.begun ? kept(keeping.peer, supported) : undefined);
  }

  /** Tells of what an earlier life agreed on, where that is known. */
  start(): void {
    if (this.#agreement.is === 'made') this.#tell(this.#agreement.versions);
  }

  /**
   * Turns the body of a negotiation into its answer. Returns the size of that, in bytes, or what is
   * wrong with the body.
   */
  answer(body: Uint8Array): number | DecodeError {
    const supported = this.#supported;
    let offered: VersionOffer;
    try {
      offered = negotiation.decode(body);
    } catch (error) {
      if (error instanceof DecodeError) return error;
      throw error;
    }
    const versions = negotiate(offered, supported);
    this.#agreement = this.#agree(versions);
    // Before the host knows: a later life must not know less than the host
    if (versions) {
      this.#tell(versions);
      this.#keeping?.begin();
    } else {
      this.#listener.hostLog.error('No version in common with the host', { offered, supported });
    }
    return encodeNegotiationAnswer(body, versions);
  }

  /** Returns the version of a message; undefined: it came before a successful negotiation. */
  of({ messageVersion }: IcHeader): Version | undefined {
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

  #tell(versions: NegotiatedVersions): void {
    this.#listener.events.connected({ via: 'vmbus', ...versions });
  }

  #agree(versions: NegotiatedVersions | undefined): Agreement {
    if (versions) return { is: 'made', versions };
    return { is: this.#keeping?.begun ? 'unknown' : 'missing' };
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
