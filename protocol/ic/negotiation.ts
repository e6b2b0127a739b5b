/**
 * Version negotiation: the first message of every channel (message type 0), and again whenever the
 * host likes. Sources: drivers/hv/channel_mgmt.c (vmbus_prep_negotiate_resp), struct
 * icmsg_negotiate, OpenVMM NegotiateMessage.
 *
 *   0  2    frameworkCount   at most 100
 *   2  2    messageCount     at most 100
 *   4  4    reserved
 *   8  4*n  versions         {major u16, minor u16}, frameworkCount of the framework, then
 *                            messageCount of the message
 *
 * The answer has the same layout: one version of each kind, or counts 0 and 0 when there is none in
 * common.
 */
import { array, atMost, struct, u16 } from '../layout/index.ts';
import { versionLayout } from './packet.ts';
import { sameVersion, type Version } from './version.ts';

/** Versions of both kinds: what a host offers, or what a guest supports. */
export interface VersionOffer {
  readonly frameworkVersions: readonly Version[];
  readonly messageVersions: readonly Version[];
}

/** What both sides agreed on. */
export interface NegotiatedVersions {
  readonly framework: Version;
  readonly message: Version;
}

const MAX_VERSIONS = 100;
const count = atMost(u16, MAX_VERSIONS);

export const negotiation = struct('negotiation')
  .derived('frameworkCount', count, (offer: VersionOffer) => offer.frameworkVersions.length)
  .derived('messageCount', count, (offer: VersionOffer) => offer.messageVersions.length)
  .reserved(4)
  .dependent('frameworkVersions', (earlier) =>
    array<Version>(versionLayout, earlier.frameworkCount),
  )
  .dependent('messageVersions', (earlier) => array<Version>(versionLayout, earlier.messageCount));

/**
 * Picks the best version of each kind: the first of `supported` (best first) that is offered.
 * Undefined: none in common.
 */
export function negotiate(
  offered: VersionOffer,
  supported: VersionOffer,
): NegotiatedVersions | undefined {
  const best = (ours: readonly Version[], theirs: readonly Version[]): Version | undefined =>
    ours.find((our) => theirs.some((their) => sameVersion(our, their)));
  const framework = best(supported.frameworkVersions, offered.frameworkVersions);
  const message = best(supported.messageVersions, offered.messageVersions);
  return framework && message ? { framework, message } : undefined;
}

const ANSWER_BYTES = 16;

/**
 * Turns the offer's body into the answer's in place and gives the answer's body size: 16, or less
 * where a refused offer was shorter than that (the answer has the offer's length).
 */
export function encodeNegotiationAnswer(
  body: Uint8Array,
  chosen: NegotiatedVersions | undefined,
): number {
  const answer: VersionOffer = chosen
    ? { frameworkVersions: [chosen.framework], messageVersions: [chosen.message] }
    : { frameworkVersions: [], messageVersions: [] };
  negotiation.encodeInto(answer, body);
  return Math.min(ANSWER_BYTES, body.length);
}
