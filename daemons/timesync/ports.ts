import type { ClockAdjustment, ClockState } from '../../native/interface.ts';
import type { MonotonicMs } from '../../runtime/clock.ts';
import type { Log } from '../../runtime/log.ts';
import type { Choice } from './choose.ts';
import type { ClockReading, Receipt } from './discipline.ts';
import type { TimesyncDetails } from './status.ts';

/** The clock that is kept right: the machine's, or one that nobody else sees. */
export interface Clock {
  readonly kind: TimesyncDetails['clock'];
  read(): ClockReading;
  state(): ClockState;
  /** Throws NativeError: EPERM without CAP_SYS_TIME. */
  adjust(adjustment: ClockAdjustment): void;
}

/** The partition's reference counter, in units of 100 ns. */
export interface ReferenceCounter {
  /**
   * Undefined as long as it is not proved to be the counter it should be, or can't be read any
   * more.
   */
  read(): Receipt['counter'];
}

/** What the service needs of the operating system. */
export interface TimesyncPorts {
  readonly clock: Clock;
  readonly counter: ReferenceCounter;
  /** What to do, by what else runs, or as configured. It is asked again and again. */
  choose(): Choice & { readonly configured: boolean };
  /** Gives chronyd one sample; false when it does not listen. */
  feedChrony(realtimeNs: bigint, offsetNs: bigint): boolean;
  /** Tells whoever asks. */
  publish(details: TimesyncDetails): void;
  readonly uptimeSecs: () => number;
  /** Calls back when the messages that are there now have been taken. */
  defer(callback: () => void): void;
  readonly now: MonotonicMs;
  /** A limited log: hosts can cause every line. */
  readonly log: Log;
  /** Gives back what the ports hold. */
  close(): void;
}
