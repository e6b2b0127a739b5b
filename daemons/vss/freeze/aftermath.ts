import type { Log } from '../../../runtime/log.ts';

/** What is done after answers: hooks, log, status, and guards that have not ended. */
export class Aftermath {
  readonly #log: Log;
  #cleared: Promise<void> = Promise.resolve();
  #pending = 0;

  constructor(log: Log) {
    this.#log = log;
  }

  /** The process has to stay. */
  get isPending(): boolean {
    return this.#pending > 0;
  }

  /** Resolves when the latest work is done. */
  get cleared(): Promise<void> {
    return this.#cleared;
  }

  /** Takes `work` on. The next freeze waits for it. */
  clear(work: Promise<void>): void {
    this.#pending++;
    this.#cleared = work
      .catch((error) => {
        this.#log.critical('Clearing up after a freeze failed', {
          error,
          stack: error instanceof Error ? error.stack : undefined,
        });
      })
      .finally(() => {
        this.#pending--;
      });
  }

  /** Keeps the process until `done` resolves. */
  keep(done: Promise<unknown>): void {
    this.#pending++;
    void done.finally(() => {
      this.#pending--;
    });
  }
}
