import type { FcopyRequest } from '../../protocol/fcopy/messages.ts';
import { IcStatus } from '../../protocol/ic/status.ts';

const { ok, fail, invalidArgument, alreadyExists, notSupported } = IcStatus;

/** What the daemon must be doing; undefined after a message that may have meant anything. */
type Copy =
  | { readonly key: string; readonly sizeBytes: number; position: number }
  | 'none'
  | undefined;

/** Which answers a message may have; undefined: any, or none. */
export type Allowed = readonly number[] | undefined;

/** What a daemon is doing, and which files there are, by what it was asked. */
export class FcopyModel {
  #copy: Copy = 'none';
  /** Last known key, when it is unknown what is under way. */
  #lastKey: string | undefined;
  readonly #there = new Map<string, boolean | undefined>();
  completed = 0;

  forgetFiles(): void {
    this.#there.clear();
    this.#copy = 'none';
  }

  /** A message that may have been anything. */
  disturb(): void {
    if (this.#copy !== 'none' && this.#copy !== undefined) this.#lastKey = this.#copy.key;
    this.#copy = undefined;
    if (this.#lastKey !== undefined) this.#there.set(this.#lastKey, undefined);
  }

  get copy(): Copy {
    return this.#copy;
  }

  /**
   * The statuses that a well-formed request may have. `refusal`: a start's that is none at all,
   * whatever is there.
   */
  expect(request: FcopyRequest, key: string, refusal: number | undefined): Allowed {
    switch (request.operation) {
      case 'start': {
        this.#copy = 'none';
        this.#lastKey = undefined;
        if (refusal !== undefined) return [refusal];
        const there = this.#there.has(key) ? this.#there.get(key) : false;
        const begin = (): void => {
          this.#copy = { key, sizeBytes: Number(request.sizeBytes), position: 0 };
        };
        if (request.flags.overwrite || there === false) {
          begin();
          return [ok];
        }
        if (there) return [alreadyExists];
        this.#lastKey = key;
        this.#copy = undefined;
        return [ok, alreadyExists];
      }
      case 'data': {
        const copy = this.#copy;
        if (copy === undefined) return [ok, fail, invalidArgument];
        if (copy === 'none') return [fail];
        const fits =
          request.offset === BigInt(copy.position) &&
          copy.position + request.data.length <= copy.sizeBytes;
        if (!fits) return [invalidArgument];
        copy.position += request.data.length;
        return [ok];
      }
      case 'complete': {
        const copy = this.#copy;
        this.#copy = 'none';
        if (copy === undefined) {
          if (this.#lastKey !== undefined) this.#there.set(this.#lastKey, undefined);
          this.#lastKey = undefined;
          return [ok, fail, alreadyExists];
        }
        if (copy === 'none' || copy.position !== copy.sizeBytes) return [fail];
        this.#there.set(copy.key, true);
        this.completed++;
        return [ok];
      }
      case 'cancel':
        this.#copy = 'none';
        return [ok];
      case 'unknown':
        return [notSupported];
    }
  }
}
