import type { ClockAdjustment } from '../../native/interface.ts';
import { UNIX_EPOCH_100NS } from '../../protocol/timesync/vmbus.ts';
import { HostTime } from './host-time.ts';
import type { Observation, ObservationKind } from './observations.ts';

/**
 * What is done about the host's samples.
 * - discipline: the clock is slewed, and stepped forward when it is far behind.
 * - chrony: they are given to chronyd, which disciplines the clock.
 * - observe: nothing; another program disciplines the clock.
 * In all of them a sync, and the jump of a resume, step the clock.
 */
export const MODES = ['discipline', 'chrony', 'observe'] as const;
export type Mode = (typeof MODES)[number];

/** A message of the host, as it came. */
export interface Sample {
  readonly hostTime100ns: bigint;
  /** The partition's reference counter when the message was made, where the host tells. */
  readonly referenceTime100ns: bigint | undefined;
  /** The order to set the clock now. */
  readonly isSync: boolean;
}

/**
 * The raw clock when the sample came, and the reference counter with the raw clock at its reading,
 * where it can be read.
 */
export interface Receipt {
  readonly rawNs: bigint;
  readonly counter?: { readonly value100ns: bigint; readonly rawNs: bigint };
}

/** The clocks of this guest at one moment. */
export interface ClockReading {
  readonly realtimeNs: bigint;
  readonly rawNs: bigint;
}

/**
 * Why a sample is not used.
 * - stale: made more than 600 s ago, as hv_utils sees it.
 * - absurd: a time that can't be, or a reference time that is still to come.
 * - backwards: the host's time was later before.
 */
export const REFUSALS = ['stale', 'absurd', 'backwards'] as const;
export type Refusal = (typeof REFUSALS)[number];

/** What to do, and what was found out. */
export interface Decision {
  /** The host's time minus the guest's, before anything is done about it. */
  readonly offsetNs: bigint;
  readonly kind: ObservationKind;
  /** Host's pace relative to the raw clock, when it is known. */
  readonly frequencyPpm: number | undefined;
  /** Why the clock is stepped. */
  readonly step: 'sync' | 'resume' | undefined;
  /** For the clock; undefined leaves it alone. */
  readonly adjustment: ClockAdjustment | undefined;
  /** The offset is for chronyd. */
  readonly feed: boolean;
}

/**
 * Times a host can mean: from 2020, before this program was written, to 2200, which every kernel
 * can be set to.
 */
const EARLIEST_NS = BigInt(Date.UTC(2020, 0)) * 1_000_000n;
const LATEST_NS = BigInt(Date.UTC(2200, 0)) * 1_000_000n;
/** As in drivers/hv/hv_util.c (HOST_TIMESYNC_DELAY_THRESH). */
const STALE_NS = 600_000_000_000n;
/**
 * A reference time may be this much ahead of the counter: both were read on different processors.
 */
const MAX_REFERENCE_AHEAD_NS = 1_000_000n;
/**
 * So many stale samples in a row, where only comparison makes them so, mean that the comparison has
 * become wrong.
 */
const STALE_IN_ROW = 3;
/**
 * A guest behind by this much was suspended, whether or not the host says so (as hv_utils with
 * timesync_implicit).
 */
export const RESUME_NS = 5_000_000_000n;
/**
 * Slewed at once: a minute of the kernel's 500 us a second. A daemon that is gone leaves no more
 * than that behind.
 */
const MAX_SLEW_NS = 30_000_000n;
/** The kernel's limit. */
const MAX_FREQUENCY_PPM = 500;
/** The kernel is told that the clock is right when it is within this of the host's. */
const MAX_SYNCHRONIZED_NS = 100_000_000n;

const abs = (value: bigint): bigint => (value < 0n ? -value : value);
const limit = (value: bigint, max: bigint): bigint =>
  value > max ? max : value < -max ? -max : value;

/**
 * Decides what to do about the samples of a host. A pure function of them and the readings given
 * with them: it reads no clock and sets none. A sample is received first, and acted on when there
 * is no newer one.
 */
export class Discipline {
  readonly #hostTime: HostTime;
  #received: (Observation & { readonly isSync: boolean }) | undefined;
  /**
   * The latest time the host told, accepted or not: a host's clock that was set back is followed
   * from its second sample on.
   */
  #lastHostNs: bigint | undefined;
  #staleInRow = 0;

  /** `frequencyPpm` is how the kernel corrects the raw clock's pace now. */
  constructor(frequencyPpm: number) {
    this.#hostTime = new HostTime(frequencyPpm);
  }

  /**
   * Takes a sample, or says why not. One that was not acted on yet is forgotten, but not that it
   * was a sync.
   */
  receive(sample: Sample, receipt: Receipt): Refusal | undefined {
    const hostNs = (sample.hostTime100ns - UNIX_EPOCH_100NS) * 100n;
    if (hostNs < EARLIEST_NS || hostNs >= LATEST_NS) return 'absurd';
    const observed = this.#observe(sample, receipt, hostNs);
    if (typeof observed === 'string') return observed;
    const goesBack = this.#lastHostNs !== undefined && hostNs < this.#lastHostNs;
    this.#lastHostNs = hostNs;
    if (goesBack && !sample.isSync) return 'backwards';
    this.#received = { ...observed, isSync: sample.isSync || (this.#received?.isSync ?? false) };
    return undefined;
  }

  /** Acts on the newest sample; undefined when there is none. */
  act(now: ClockReading, mode: Mode): Decision | undefined {
    const received = this.#received;
    if (!received) return undefined;
    this.#received = undefined;
    const jumpNs = BigInt(Math.round(this.#hostTime.add(received, received.isSync)));
    const offsetNs = this.#hostTime.hostNsAt(now.rawNs) - now.realtimeNs;
    const frequencyPpm = this.#hostTime.frequencyPpm;
    const found = { offsetNs, kind: received.kind, frequencyPpm };
    if (received.isSync) {
      return { ...found, step: 'sync', adjustment: { stepNs: offsetNs }, feed: false };
    }
    // Where another program keeps the time, a guest that is behind all along is so on purpose: only
    // a jump is a resume
    const missedNs = mode === 'discipline' ? offsetNs : jumpNs;
    if (missedNs >= RESUME_NS) {
      return { ...found, step: 'resume', adjustment: { stepNs: missedNs }, feed: false };
    }
    const adjustment = mode === 'discipline' ? this.#slew(offsetNs, frequencyPpm) : undefined;
    return { ...found, step: undefined, adjustment, feed: mode === 'chrony' };
  }

  #slew(offsetNs: bigint, frequencyPpm: number | undefined): ClockAdjustment {
    return {
      slewUs: Number(limit(offsetNs, MAX_SLEW_NS) / 1000n),
      ...(frequencyPpm === undefined
        ? {}
        : {
            frequencyPpm: Math.max(-MAX_FREQUENCY_PPM, Math.min(MAX_FREQUENCY_PPM, frequencyPpm)),
          }),
      ...(abs(offsetNs) <= MAX_SYNCHRONIZED_NS ? { errorUs: Number(abs(offsetNs) / 1000n) } : {}),
    };
  }

  #observe(sample: Sample, { rawNs, counter }: Receipt, hostNs: bigint): Observation | Refusal {
    if (sample.referenceTime100ns === undefined) return { kind: 'plain', rawNs, hostNs };
    const referenceNs = sample.referenceTime100ns * 100n;
    if (counter !== undefined) {
      const ageNs = counter.value100ns * 100n - referenceNs;
      if (ageNs > STALE_NS) return 'stale';
      if (ageNs < -MAX_REFERENCE_AHEAD_NS) return 'absurd';
      return { kind: 'exact', rawNs: counter.rawNs, hostNs: hostNs + ageNs };
    }
    const latenessNs = this.#hostTime.latenessNs(rawNs, referenceNs);
    if (latenessNs !== undefined && latenessNs > Number(STALE_NS)) {
      // After a resume the raw clock may be ahead of the counter for good
      this.#staleInRow++;
      if (!sample.isSync && this.#staleInRow < STALE_IN_ROW) return 'stale';
      this.#hostTime.forget();
    }
    this.#staleInRow = 0;
    return { kind: 'referenced', rawNs, hostNs, referenceNs };
  }
}
