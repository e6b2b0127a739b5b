import type { FcopyRequest } from '../../protocol/fcopy/messages.ts';
import { IcStatus } from '../../protocol/ic/status.ts';
import type { FcopyStage } from '../../simulator/hosts/fcopy-host.ts';
import type { FcopyModel } from './fcopy-model.ts';
import type { SequenceStep } from './fcopy-sequences.ts';
import type { FuzzLine } from './fuzz-line.ts';

/** Mutations reach no further than headers, names and sizes: content says where it belongs. */
const MUTABLE_BODY_BYTES = { start: 1088, data: 52, other: 36 };

export interface FcopyFuzzSenderOptions {
  readonly stage: FcopyStage;
  readonly line: FuzzLine;
  readonly model: FcopyModel;
  random(below: number): number;
}

/** Sends the requests of sequences, some of them with bits changed, and tells the model. */
export class FcopyFuzzSender {
  /** How many messages were sent as they should be. */
  wellFormed = 0;
  readonly #options: FcopyFuzzSenderOptions;
  /** Is sent after what may have ended in "nothing in common"; undefined: not over this wire. */
  readonly #negotiation: Uint8Array | undefined;
  readonly #scratch = new Uint8Array(8192);
  #mutated = 0;

  constructor(options: FcopyFuzzSenderOptions) {
    const { stage } = options;
    this.#options = options;
    this.#negotiation =
      stage.host.wire === 'unix-ring' ? stage.ring.encodeNegotiation() : undefined;
  }

  /** Sends one message, changed or not. */
  async send(step: SequenceStep): Promise<void> {
    if (this.#options.random(40) === 0) await this.#sendChanged(step);
    else await this.#sendWhole(step);
  }

  /** Gives up what was begun. Resolves when all is answered. */
  async settle(): Promise<void> {
    await this.#sendWhole({ request: { operation: 'cancel' } });
    await this.#options.line.settle();
  }

  async #sendWhole({ request, key = '', refusal }: SequenceStep): Promise<void> {
    const { stage, line, model } = this.#options;
    this.wellFormed++;
    const bytes = stage.host.encode(request);
    await line.post(bytes, model.expect(request, key, refusal), request.operation);
  }

  async #sendChanged({ request, refusal }: SequenceStep): Promise<void> {
    const { line, model } = this.#options;
    this.#mutated++;
    // A name of its own, so that files of the model stay what they are
    const victim =
      request.operation === 'start' && refusal === undefined
        ? { ...request, fileName: `m${this.#mutated}` }
        : request;
    const message = this.#change(victim);
    model.disturb();
    await line.post(message, undefined, 'changed');
    // What became a negotiation may have ended in "nothing in common", and rightly so
    if (this.#negotiation && message[12] === 0 && message[13] === 0)
      await line.post(this.#negotiation, [IcStatus.ok], 'negotiation');
  }

  /** Returns a message of a request with some bits changed, and perhaps cut short. */
  #change(request: FcopyRequest): Uint8Array {
    const { stage, random } = this.#options;
    const bytes = stage.host.encode(request);
    this.#scratch.set(bytes);
    const mutable =
      stage.host.bodyOffset +
      (MUTABLE_BODY_BYTES[request.operation as 'start' | 'data'] ?? MUTABLE_BODY_BYTES.other);
    for (let changes = 1 + random(3); changes > 0; changes--)
      this.#scratch[random(mutable)]! ^= 1 << random(8);
    const length = random(4) === 0 ? 4 + random(bytes.length - 4) : bytes.length;
    // A copy of its own: it may have to wait
    return this.#scratch.slice(0, length);
  }
}
