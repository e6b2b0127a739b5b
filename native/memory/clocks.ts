import { type ClockAdjustment, type Native, ReadingSlot } from '../interface.ts';
import { nativeError } from './native-error.ts';
import { SimulatedClock } from './simulated-clock.ts';

/** The clocks of `MemoryNative`. */
export class MemoryClocks {
  /** Every change made to the clock, oldest first. */
  readonly adjustments: ClockAdjustment[] = [];
  /** Registers by position; none has a value until a test gives it one. */
  readonly registers = new Map<number, () => bigint>();
  /** CLOCK_MONOTONIC_RAW. */
  rawNs = 1_000_000_000n;
  /** CLOCK_REALTIME, which stands still unless `rawNs` is moved on: 2026-01-01. */
  readonly clock = new SimulatedClock(() => this.rawNs, 1_767_225_600_000_000_000n);
  /** The errno's name that `adjustClock` fails with. */
  refusal: string | undefined;

  readonly readClocks: Native['readClocks'] = (into) => this.clock.readClocks(into);

  readonly readRegister: Native['readRegister'] = (_fd, position, into) => {
    const register = this.registers.get(position);
    if (register === undefined) throw nativeError('EIO', 'pread');
    into[ReadingSlot.value] = register();
    into[ReadingSlot.monotonicRawNs] = this.rawNs;
    into[ReadingSlot.uncertaintyNs] = 0n;
  };

  readonly readClockState: Native['readClockState'] = () => this.clock.readClockState();

  readonly adjustClock: Native['adjustClock'] = (adjustment) => {
    if (this.refusal !== undefined) throw nativeError(this.refusal, 'clock_adjtime');
    this.adjustments.push(adjustment);
    this.clock.adjustClock(adjustment);
  };
}
