import type { HvUtilsCodec } from '../../protocol/service-protocol.ts';
import type { Keeping, Serving } from './session.ts';

type RegistrationCodec = Pick<
  HvUtilsCodec<unknown, unknown>,
  'messageBytes' | 'registrationAnswerBytes' | 'decodeRegistration'
>;

/** Whether hv_utils knows us as the daemon of its device, and its messages that say so. */
export class Registration {
  readonly #codec: RegistrationCodec;
  readonly #isKept: boolean;
  readonly #serving: Pick<Serving<never, never>, 'events' | 'hostLog'>;
  #state: 'registering' | 'registered';

  constructor(
    codec: RegistrationCodec,
    keeping: Keeping | undefined,
    serving: Pick<Serving<never, never>, 'events' | 'hostLog'>,
  ) {
    this.#codec = codec;
    this.#isKept = keeping !== undefined;
    this.#serving = serving;
    this.#state = keeping?.begun ? 'registered' : 'registering';
  }

  get state(): 'registering' | 'registered' {
    return this.#state;
  }

  /**
   * Whether a message of this length may answer a registration. On a kept device that answer may
   * reach a later life than the one that asked.
   */
  mayBeAnsweredIn(lengthBytes: number): boolean {
    const answerBytes = this.#codec.registrationAnswerBytes ?? this.#codec.messageBytes;
    return (this.#state === 'registering' || this.#isKept) && lengthBytes === answerBytes;
  }

  /** Returns whether a message was for the registration. Otherwise it is a request. */
  takes(message: Uint8Array): boolean {
    if (this.#state === 'registered' && !this.#isKept) return false;
    const versionText = this.#codec.decodeRegistration(message);
    if (versionText !== undefined) {
      this.#state = 'registered';
      this.#serving.events.connected({ via: 'hv_utils', versionText });
      return true;
    }
    if (this.#state === 'registered') return false;
    // A request of a moment before: hv_utils sends it again, or fails it, after the registration
    this.#serving.hostLog.warning(
      'Ignored a message that came before the registration was answered',
    );
    return true;
  }
}
