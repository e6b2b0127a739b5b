import { HV_UTIL_TIMEOUT_SECS, type HvUtilsCodec } from '../../protocol/service-protocol.ts';
import { HostError, type ServiceView, type WireMessage } from '../wire.ts';
import type { HvUtilsTransactions } from './hvutils-transactions.ts';

export interface HvUtilsRequestsOptions<Request, Reply> {
  readonly transactions: HvUtilsTransactions;
  readonly codec: HvUtilsCodec<Request, Reply>;
  readonly view: ServiceView<Request, Reply>;
  /** How long a reply is awaited; by default as long as hv_utils does. */
  readonly timeoutSecs: number | undefined;
  tap(message: Omit<WireMessage, 'wire'>): void;
}

/** Sends the requests of one service to a char device, and reads the replies. */
export class HvUtilsRequests<Request, Reply extends { readonly status: number }> {
  readonly #options: HvUtilsRequestsOptions<Request, Reply>;

  constructor(options: HvUtilsRequestsOptions<Request, Reply>) {
    this.#options = options;
  }

  /** Sends a request in its turn. Resolves to the reply; rejects with a HostError. */
  request(request: Request): Promise<Reply> {
    const { transactions, codec, view, tap } = this.#options;
    return transactions.inTurn(async () => {
      const message = codec.encodeRequest(request);
      const kernelTimeoutSecs = codec.timeoutSecs?.(request) ?? HV_UTIL_TIMEOUT_SECS;
      const answer = await transactions.transact(
        message,
        this.#options.timeoutSecs ?? kernelTimeoutSecs,
        () => view.summarize(request).operation,
        () => tap({ from: 'host', ...view.summarize(request), bytes: message.length }),
      );
      const reply = this.#read(answer, request);
      tap({
        from: 'guest',
        ...view.summarize(request, reply),
        status: reply.status,
        bytes: answer.length,
      });
      return reply;
    });
  }

  #read(answer: Uint8Array, request: Request): Reply {
    try {
      return this.#options.codec.decodeReply(answer, request);
    } catch (error) {
      const { message: why } = error as Error;
      throw new HostError('broken', `the guest's reply can't be read: ${why}`, error);
    }
  }
}
