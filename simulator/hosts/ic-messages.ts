import { type NegotiatedVersions, negotiation } from '../../protocol/ic/negotiation.ts';
import {
  decodeIcMessage,
  encodeIcMessage,
  IC_NEGOTIATE,
  IcFlag,
  type IcHeader,
} from '../../protocol/ic/packet.ts';
import { formatVersion, sameVersion, type Version } from '../../protocol/ic/version.ts';

/** The versions that a host offers, best first. */
export interface VersionsOffered {
  readonly framework: readonly Version[];
  readonly message: readonly Version[];
}

/** Tells agreed versions to people. */
export const describeVersions = ({ framework, message }: NegotiatedVersions): string =>
  `framework ${formatVersion(framework)}, messages ${formatVersion(message)}`;

/** Encodes a negotiation. With `counts` it has these counts, which need not be true. */
export function encodeNegotiation(
  offer: VersionsOffered,
  counts?: { readonly frameworks: number; readonly messages: number },
): Uint8Array {
  const versions = { frameworkVersions: offer.framework, messageVersions: offer.message };
  const body = new Uint8Array(negotiation.sizeOf(versions));
  negotiation.encodeInto(versions, body);
  if (counts) {
    const view = new DataView(body.buffer);
    view.setUint16(0, counts.frameworks, true);
    view.setUint16(2, counts.messages, true);
  }
  // Before an agreement the headers have some version; Windows sends the framework's first.
  const first = { major: 1, minor: 0 };
  return encodeIcMessage(
    {
      frameworkVersion: first,
      messageVersion: first,
      messageType: IC_NEGOTIATE,
      flags: IcFlag.transaction | IcFlag.request,
    },
    body,
  );
}

/**
 * Opens a guest's answer, with the checks of OpenVMM's host (vm/devices/hyperv_ic): headers whole,
 * transaction id 0, a response, a body as long as it says. Throws an Error that says what is wrong.
 */
export function openAnswer(
  answer: Uint8Array,
  messageType: number,
): { header: IcHeader; body: Uint8Array } {
  let opened: ReturnType<typeof decodeIcMessage>;
  try {
    opened = decodeIcMessage(answer);
  } catch (error) {
    throw new Error(`a reply's headers can't be read: ${(error as Error).message}`);
  }
  const { header } = opened;
  const expect = (field: string, expected: number, actual: number): void => {
    if (actual !== expected)
      throw new Error(`a reply's ${field}: expected ${expected}, got ${actual}`);
  };
  expect('messageType', messageType, header.messageType);
  expect('transactionId', 0, header.transactionId);
  expect('flags', IcFlag.transaction | IcFlag.response, header.flags);
  return opened;
}

/**
 * Reads the versions that a guest chose; undefined: it has none in common. Throws an Error when the
 * answer is malformed, or chooses what was not offered.
 */
export function readNegotiation(
  body: Uint8Array,
  offer: VersionsOffered,
): NegotiatedVersions | undefined {
  let answer: ReturnType<typeof negotiation.decode>;
  try {
    answer = negotiation.decode(body);
  } catch (error) {
    throw new Error(`the answer to a negotiation can't be read: ${(error as Error).message}`);
  }
  const { frameworkVersions, messageVersions } = answer;
  if (frameworkVersions.length === 0 && messageVersions.length === 0) return undefined;
  const [framework, message] = [frameworkVersions[0], messageVersions[0]];
  if (frameworkVersions.length !== 1 || messageVersions.length !== 1 || !framework || !message) {
    throw new Error(
      `a negotiation answered with ${frameworkVersions.length} and ` +
        `${messageVersions.length} versions`,
    );
  }
  const isOffered = (versions: readonly Version[], one: Version): boolean =>
    versions.some((version) => sameVersion(version, one));
  if (!isOffered(offer.framework, framework) || !isOffered(offer.message, message)) {
    throw new Error(
      `a negotiation answered with ${describeVersions({ framework, message })}, which was not ` +
        'offered',
    );
  }
  return { framework, message };
}
