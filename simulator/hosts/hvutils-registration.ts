import type { HvUtilsCodec } from '../../protocol/service-protocol.ts';
import { deferred, type WireMessage } from '../wire.ts';

export interface HvUtilsRegistrationOptions {
  readonly codec: Pick<
    HvUtilsCodec<never, unknown>,
    'encodeRegistration' | 'encodeRegistrationAnswer'
  >;
  /** The version told at registration. */
  readonly versionText: string;
  tap(message: Omit<WireMessage, 'wire'>): void;
}

/** How guests register at a char device, one after another. */
export class HvUtilsRegistration {
  /** How many guests have registered. */
  count = 0;
  /** Whether a guest is registered now. */
  isDone = false;
  readonly #options: HvUtilsRegistrationOptions;
  #waiting = deferred<string>();

  constructor(options: HvUtilsRegistrationOptions) {
    this.#options = options;
  }

  /** Resolves when a guest is registered, or at once when one is. */
  ready(): Promise<string> {
    return this.isDone ? Promise.resolve(this.#options.versionText) : this.#waiting.promise;
  }

  /** Resolves when the next guest registers. */
  next(): Promise<string> {
    return this.#waiting.promise;
  }

  /** Says why a guest's first message is not a registration; undefined: it is one. */
  problemOf(message: Uint8Array): string | undefined {
    const expected = this.#options.codec.encodeRegistration();
    if (message.length !== expected.length)
      return `message length: expected ${expected.length} bytes, got ${message.length}`;
    // Of what the registration says only the operation is checked.
    if (message[0] !== expected[0])
      return `registration: expected operation ${expected[0]}, got ${message[0]}`;
    return undefined;
  }

  /** Registers the guest that sent `message`. Calls `write` with what it is answered. */
  accept(message: Uint8Array, write: (answer: Uint8Array) => void): void {
    const { codec, versionText, tap } = this.#options;
    tap({ from: 'guest', operation: 'register', bytes: message.length });
    const answer = codec.encodeRegistrationAnswer(versionText);
    tap({ from: 'host', operation: 'register', subject: versionText, bytes: answer.length });
    write(answer);
    this.isDone = true;
    this.count++;
    const waiting = this.#waiting;
    this.#waiting = deferred();
    waiting.resolve(versionText);
  }

  /** Rejects what waits for the next guest, because none will be let in. */
  close(error: Error): void {
    this.#waiting.reject(error);
  }
}
