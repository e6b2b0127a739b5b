import { deferred, type HostClock, HostError } from '../wire.ts';
import type { Transaction } from './hvutils-device.ts';

/** What transactions need of the char device. */
interface Device {
  begin(transaction: Transaction): void;
  write(message: Uint8Array): void;
  fail(error: HostError): void;
}

/** The host's transactions on a char device: one at a time, in the order asked for. */
export class HvUtilsTransactions {
  readonly #device: Device;
  readonly #clock: HostClock;
  /** The tail of the queue. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(device: Device, clock: HostClock) {
    this.#device = device;
    this.#clock = clock;
  }

  /** Runs `work`, which may transact, when all that was asked for before is done. */
  inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => {});
    return result;
  }

  /**
   * Sends one message. Resolves to a copy of its answer. `what` names the request in errors;
   * `onBegin` is called before the message is written.
   */
  async transact(
    message: Uint8Array,
    timeoutSecs: number,
    what: () => string,
    onBegin: () => void,
  ): Promise<Uint8Array> {
    const cancel = this.#clock.after(timeoutSecs * 1000, () =>
      this.#device.fail(new HostError('silent', `${what()}: no answer within ${timeoutSecs} s`)),
    );
    try {
      const [answer] = await this.collect([message], () => true, onBegin);
      return answer!;
    } finally {
      cancel();
    }
  }

  /**
   * Sends messages as one transaction. Resolves to copies of the answers when `isAll` says so.
   * `onBegin` is called before the first message is written.
   */
  async collect(
    messages: readonly Uint8Array[],
    isAll: (answers: readonly Uint8Array[]) => boolean,
    onBegin: () => void = () => {},
  ): Promise<Uint8Array[]> {
    const answers: Uint8Array[] = [];
    const done = deferred<void>();
    this.#device.begin({
      onAnswer: (bytes) => {
        answers.push(bytes.slice());
        if (!isAll(answers)) return false;
        done.resolve();
        return true;
      },
      fail: done.reject,
    });
    onBegin();
    for (const message of messages) this.#device.write(message);
    await done.promise;
    return answers;
  }
}
