import { type ClockAdjustment, type ClockState, ReadingSlot } from '../interface.ts';

/** adjtime(3): the kernel slews by 500 us a second. */
const SLEW_NS_PER_NS = 500e-6;

/**
 * A clock that behaves as the kernel's does under the same calls, but is nobody's: it takes its
 * pace from a raw clock, and changes are made to itself alone.
 */
export class SimulatedClock {
  readonly #rawNs: () => bigint;
  #realtimeNs: bigint;
  #seenRawNs: bigint;
  /** Of the frequency and the slew, what did not yet make a whole nanosecond. */
  #fractionNs = 0;
  #frequencyPpm = 0;
  #slewNs = 0;
  #synchronized = false;

  /** `rawNs` is the raw clock; it must not go back. */
  constructor(rawNs: () => bigint, realtimeNs: bigint) {
    this.#rawNs = rawNs;
    this.#realtimeNs = realtimeNs;
    this.#seenRawNs = rawNs();
  }

  readClocks(into: BigInt64Array): void {
    this.#advance();
    into[ReadingSlot.value] = this.#realtimeNs;
    into[ReadingSlot.monotonicRawNs] = this.#seenRawNs;
    into[ReadingSlot.uncertaintyNs] = 0n;
  }

  readClockState(): ClockState {
    this.#advance();
    return {
      frequencyPpm: this.#frequencyPpm,
      slewUs: Math.trunc(this.#slewNs / 1000),
      synchronized: this.#synchronized,
    };
  }

  adjustClock({ stepNs, frequencyPpm, slewUs, errorUs }: ClockAdjustment): void {
    this.#advance();
    if (stepNs !== undefined) {
      this.#realtimeNs += stepNs;
      this.#slewNs = 0;
      this.#synchronized = false;
    }
    if (frequencyPpm !== undefined) this.#frequencyPpm = frequencyPpm;
    if (slewUs !== undefined) this.#slewNs = slewUs * 1000;
    if (errorUs !== undefined) this.#synchronized = true;
  }

  #advance(): void {
    const rawNs = this.#rawNs();
    const elapsedNs = rawNs - this.#seenRawNs;
    this.#seenRawNs = rawNs;
    const elapsed = Number(elapsedNs);
    const slewNs =
      Math.sign(this.#slewNs) * Math.min(Math.abs(this.#slewNs), elapsed * SLEW_NS_PER_NS);
    this.#slewNs -= slewNs;
    const extraNs = this.#fractionNs + slewNs + (elapsed * this.#frequencyPpm) / 1e6;
    const wholeNs = Math.floor(extraNs);
    this.#fractionNs = extraNs - wholeNs;
    this.#realtimeNs += elapsedNs + BigInt(wholeNs);
  }
}
