/** Clock readings, in the slots of a BigInt64Array that is filled in place. */
export const ReadingSlot = {
  /** CLOCK_REALTIME in ns, or a register's value. */
  value: 0,
  /** CLOCK_MONOTONIC_RAW in ns when it was read: known to plus or minus half of `uncertaintyNs`. */
  monotonicRawNs: 1,
  uncertaintyNs: 2,
} as const;
export const READING_SLOTS = 3;

/** What the kernel does to the clock by itself. */
export interface ClockState {
  /** How much faster than CLOCK_MONOTONIC_RAW the clock is made to run. */
  readonly frequencyPpm: number;
  /** What is left of a slew. */
  readonly slewUs: number;
  /** The kernel believes the clock to be right. */
  readonly synchronized: boolean;
}

/** A change of CLOCK_REALTIME; only what is given changes. */
export interface ClockAdjustment {
  /** Added at once. */
  readonly stepNs?: bigint;
  /** From -500 to 500. */
  readonly frequencyPpm?: number;
  /**
   * Added gradually by the kernel, 500 us a second, instead of what is left of an earlier slew. It
   * ends by itself.
   */
  readonly slewUs?: number;
  /**
   * Declares the clock synchronized with this error; the kernel lets the error grow, and doubts the
   * clock in the end.
   */
  readonly errorUs?: number;
}

/** What of `Native` reads and changes clocks. */
export interface NativeClocks {
  /** Fills `into` (READING_SLOTS) with CLOCK_REALTIME and CLOCK_MONOTONIC_RAW of one moment. */
  readClocks(into: BigInt64Array): void;
  /**
   * Fills `into` with 8 bytes at `position` of a device whose positions are registers
   * (/dev/cpu/N/msr), and when they were read.
   */
  readRegister(fd: number, position: number, into: BigInt64Array): void;
  readClockState(): ClockState;
  /** The one function that changes the machine's clock. EPERM without CAP_SYS_TIME. */
  adjustClock(adjustment: ClockAdjustment): void;
}
