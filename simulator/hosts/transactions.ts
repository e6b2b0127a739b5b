import { deferred, type HostClock, HostError } from '../wire.ts';

interface Pending {
  onAnswer(answer: Uint8Array): void;
  fail(error: HostError): void;
}

/** Ids below it are for packets whose answers the host does not await. */
export const FIRST_TRANSACTION_ID = 0x1_0000n;

/** The host's requests that wait for an answer, by their packet's transaction id. */
export class Transactions {
  readonly #clock: HostClock;
  readonly #timeoutSecs: number;
  readonly #pending = new Map<bigint, Pending>();
  #lastId = FIRST_TRANSACTION_ID - 1n;

  constructor(clock: HostClock, timeoutSecs: number) {
    this.#clock = clock;
    this.#timeoutSecs = timeoutSecs;
  }

  get isEmpty(): boolean {
    return this.#pending.size === 0;
  }

  /** Calls `send` with a new id. Resolves to the answer; `what` names the request in errors. */
  async transact(what: string, send: (id: bigint) => void): Promise<Uint8Array> {
    const id = ++this.#lastId;
    const done = deferred<Uint8Array>();
    this.#pending.set(id, { onAnswer: done.resolve, fail: done.reject });
    const cancel = this.#clock.after(this.#timeoutSecs * 1000, () =>
      done.reject(new HostError('silent', `${what}: no answer within ${this.#timeoutSecs} s`)),
    );
    try {
      send(id);
      return await done.promise;
    } finally {
      cancel();
      this.#pending.delete(id);
    }
  }

  /**
   * Calls `send` with a new id. Resolves when `until` does, to the answer that came by then, if
   * any.
   */
  async collect(
    send: (id: bigint) => void,
    until: () => Promise<unknown>,
  ): Promise<Uint8Array | undefined> {
    const id = ++this.#lastId;
    let answer: Uint8Array | undefined;
    this.#pending.set(id, {
      onAnswer: (bytes) => {
        answer = bytes;
      },
      fail: () => {},
    });
    try {
      send(id);
      await until();
    } finally {
      this.#pending.delete(id);
    }
    return answer;
  }

  /**
   * Hands an answer to the request that waits for it. Returns false when this id is not pending.
   */
  answer(id: bigint, copy: () => Uint8Array): boolean {
    const pending = this.#pending.get(id);
    if (!pending) return false;
    this.#pending.delete(id);
    pending.onAnswer(copy());
    return true;
  }

  failAll(error: HostError): void {
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const one of pending) one.fail(error);
  }
}
