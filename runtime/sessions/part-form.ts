import type { PartForm } from '../../native/interface.ts';
import type { PartPlaces } from '../../protocol/service-protocol.ts';

/**
 * Returns how the messages look that a channel may take by itself: like `message`, which carried a
 * part of a file, and answered like it. Sizes and positions are bytes.
 */
export const partForm = (
  places: PartPlaces,
  message: {
    /** The message up to the data, as it came: the answer is written over it. */
    readonly sample: Uint8Array;
    readonly bytes: number;
    readonly bodyAt: number;
    readonly bodyBytes: number;
  },
  reply: { readonly start: Uint8Array; readonly bytes: number; readonly limitMs: number },
): PartForm => ({
  sample: message.sample,
  messageBytes: message.bytes,
  offsetAt: message.bodyAt + places.offsetAt,
  sizeAt: message.bodyAt + places.sizeAt,
  roomBytes: Math.min(places.maxDataBytes, message.bodyBytes - places.dataAt),
  answer: reply.start,
  answerBytes: reply.bytes,
  limitMs: reply.limitMs,
});
