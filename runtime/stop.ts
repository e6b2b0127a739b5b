/** The request to stop, which may come at any time. It wakes what the daemon waits for. */
export class Stop {
  #isRequested = false;
  #wake: () => void = () => {};

  get isRequested(): boolean {
    return this.#isRequested;
  }

  request(): void {
    this.#isRequested = true;
    this.#wake();
  }

  /** Calls `wake` when the request comes. Replaces an earlier one: a daemon does one thing. */
  onRequest(wake: () => void): void {
    this.#wake = wake;
  }

  /** Resolves after `ms`, or as soon as the daemon is to stop. */
  pause(ms: number): Promise<void> {
    if (this.#isRequested) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.onRequest(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }
}
