import type { Wait } from './ports.ts';

/** Waits, all of which end early when the daemon ends. */
export class Waits {
  readonly #ends = new Set<(goOn: boolean) => void>();

  start(ms: number): Wait {
    let end: (goOn: boolean) => void = () => {};
    const done = new Promise<boolean>((resolve) => {
      end = (goOn) => {
        clearTimeout(timer);
        this.#ends.delete(end);
        resolve(goOn);
      };
      const timer = setTimeout(() => end(true), ms);
      this.#ends.add(end);
    });
    return { done, cancel: () => end(true) };
  }

  close(): void {
    for (const end of [...this.#ends]) end(false);
  }
}
