import type { PartForm } from '../../native/interface.ts';
import type { PartPlaces } from '../../protocol/service-protocol.ts';

/**
 * File copy's fast path, for one wire. After a service answered a part of a file with a `stream`,
 * the channel itself writes the parts that follow, and answers them. It recognizes them by the form
 * that is made here of the message just answered.
 */
export class PartStream {
  /** Positions in the message. */
  readonly #places: PartPlaces;
  readonly #limitMs: number;

  private constructor(places: PartPlaces, limitMs: number) {
    this.#places = places;
    this.#limitMs = limitMs;
  }

  /**
   * Undefined where requests carry no parts. `places` count from `bodyAt` of the message; an answer
   * that is later than `limitMs` must not go out (0: however late).
   */
  static on(
    places: PartPlaces | undefined,
    bodyAt: number,
    limitMs: number,
  ): PartStream | undefined {
    if (places === undefined) return undefined;
    const { offsetAt, sizeAt, dataAt, maxDataBytes } = places;
    const inMessage: PartPlaces = {
      offsetAt: bodyAt + offsetAt,
      sizeAt: bodyAt + sizeAt,
      dataAt: bodyAt + dataAt,
      maxDataBytes,
    };
    return new PartStream(inMessage, limitMs);
  }

  /** Copies a message up to its data. Called before the answer is written over the message. */
  sample(message: Uint8Array): Uint8Array {
    return message.slice(0, this.#places.dataAt);
  }

  /**
   * Returns the form of messages like the one that `sample` was taken of, and of their answers.
   * The data has room up to `endAt`. `message` holds the answer by now: its first `headBytes` are
   * the same for all, and it is sent with a length of `answerBytes`.
   */
  form(
    sample: Uint8Array,
    message: Uint8Array,
    {
      endAt,
      headBytes,
      answerBytes,
    }: { readonly endAt: number; readonly headBytes: number; readonly answerBytes: number },
  ): PartForm {
    const { offsetAt, sizeAt, dataAt, maxDataBytes } = this.#places;
    return {
      sample,
      messageBytes: message.length,
      offsetAt,
      sizeAt,
      roomBytes: Math.min(maxDataBytes, endAt - dataAt),
      answer: message.slice(0, headBytes),
      answerBytes,
      limitMs: this.#limitMs,
    };
  }
}
