/** Thrown by work that was waited for when the demonstration was interrupted. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted';
}

/** Lets a wait end as soon as a signal is aborted. The work itself goes on. */
export class Interruption {
  readonly signal: AbortSignal;

  constructor(signal: AbortSignal) {
    this.signal = signal;
  }

  /** The work's result. Rejects with the signal's reason when that comes first. */
  async unless<T>(work: Promise<T>): Promise<T> {
    work.catch(() => {});
    let onAbort = (): void => {};
    const aborted = new Promise<never>((_, reject) => {
      onAbort = () => reject(this.signal.reason);
      if (this.signal.aborted) onAbort();
      this.signal.addEventListener('abort', onAbort);
    });
    try {
      return await Promise.race([work, aborted]);
    } finally {
      this.signal.removeEventListener('abort', onAbort);
    }
  }

  pause(ms: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const over = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, ms);
    });
    return this.unless(over).finally(() => clearTimeout(timer));
  }
}
