import type { HvUtilsCodec } from '../../protocol/service-protocol.ts';
import type { ServiceView, WireMessage } from '../wire.ts';
import type { HvUtilsTransactions } from './hvutils-transactions.ts';

export interface ProbedExchangeOptions<Request, Reply> {
  readonly transactions: HvUtilsTransactions;
  readonly codec: HvUtilsCodec<Request, Reply>;
  readonly view: ServiceView<Request, Reply>;
  tap(message: Omit<WireMessage, 'wire'>): void;
}

/** Sends any bytes to a char device. Probes after them tell whether the guest answered. */
export class ProbedExchange<Request, Reply> {
  readonly #options: ProbedExchangeOptions<Request, Reply>;
  #serial = 0;

  constructor(options: ProbedExchangeOptions<Request, Reply>) {
    this.#options = options;
  }

  /** Resolves to the answer; undefined: there was none. */
  exchange(message: Uint8Array): Promise<Uint8Array | undefined> {
    return this.#options.codec.replyBytes === undefined
      ? this.#beforeOneProbe(message)
      : this.#beforeTwoProbes(message);
  }

  #beforeOneProbe(message: Uint8Array): Promise<Uint8Array | undefined> {
    const { transactions } = this.#options;
    const probe = this.#probe(++this.#serial);
    return transactions.inTurn(async () => {
      const answers = await transactions.collect(
        [message, probe],
        (all) => answersProbe(all.at(-1)!, probe),
        () => this.#tapMessage(message),
      );
      return this.#tapAnswer(answers.at(-2));
    });
  }

  /**
   * Where a reply is a status and nothing else, one probe's can't be told from that of the message
   * before it. Two probes with different statuses, a then b, can: when the second reply is b's, the
   * message had none.
   */
  #beforeTwoProbes(message: Uint8Array): Promise<Uint8Array | undefined> {
    const { transactions } = this.#options;
    const probes = [this.#probe(0), this.#probe(1)];
    return transactions.inTurn(async () => {
      const [first, second] = await transactions.collect(
        probes,
        (answers) => answers.length === probes.length,
      );
      const secondStatus = statusOf(second!);
      if (statusOf(first!) === secondStatus) throw new Error('both probes have the same status');
      this.#tapMessage(message);
      const answers = await transactions.collect(
        [message, ...probes],
        (all) => all.length > probes.length || (all[1] && statusOf(all[1])) === secondStatus,
      );
      return this.#tapAnswer(answers.length > probes.length ? answers[0] : undefined);
    });
  }

  #probe(serial: number): Uint8Array {
    return this.#options.codec.encodeRequest(this.#options.view.probe(serial));
  }

  #tapMessage(message: Uint8Array): void {
    this.#options.tap({ from: 'host', operation: 'raw', bytes: message.length });
  }

  #tapAnswer(answer: Uint8Array | undefined): Uint8Array | undefined {
    this.#options.tap({
      from: 'guest',
      operation: 'raw',
      bytes: answer?.length ?? 0,
      ...(answer ? { status: statusOf(answer) } : { subject: 'no answer' }),
    });
    return answer;
  }
}

/** The status in a reply's bytes. */
export const statusOf = (reply: Uint8Array): number =>
  new DataView(reply.buffer, reply.byteOffset, reply.byteLength).getUint32(0, true);

/**
 * A probe's reply is the probe edited in place: after the 4 bytes where a reply has its status, all
 * is as it was sent.
 */
export const answersProbe = (answer: Uint8Array, probe: Uint8Array): boolean =>
  answer.length === probe.length && Buffer.compare(answer.subarray(4), probe.subarray(4)) === 0;
