import { type Line, tellsSlope, upperEnvelope, valueAt } from './envelope.ts';
import {
  EVIDENCE,
  type Observation,
  type ObservationKind,
  ObservationWindow,
} from './observations.ts';

/**
 * An observation that is earlier than the others by more than this means that a clock has jumped:
 * no message comes before it was sent. One that is later means either a delay or a host's clock
 * that was set back; which of both it is shows when they stay late.
 */
const MAX_EARLY_NS: Readonly<Record<ObservationKind, number>> = {
  exact: 2e6,
  referenced: 2e6,
  plain: 20e6,
};
const MAX_LATE_NS: Readonly<Record<ObservationKind, number>> = {
  exact: 2e6,
  referenced: 2e6,
  plain: 1e9,
};
const LATE_IN_ROW = 3;

/**
 * Follows the host's time along the raw clock, which nobody sets: what is done to the guest's clock
 * does not disturb it.
 */
export class HostTime {
  readonly #window = new ObservationWindow();
  #line: Line = { x0: 0, y0: 0, slope: 0 };
  #frequencyKnown = false;
  #lateInRow = 0;
  /** Host's pace relative to the raw clock, as known before there are enough observations. */
  #knownSlope: number;

  constructor(frequencyPpm: number) {
    this.#knownSlope = frequencyPpm / 1e6;
  }

  get empty(): boolean {
    return this.#window.empty;
  }

  /**
   * How much faster the host's time runs than the raw clock; undefined as long as that can't be
   * told.
   */
  get frequencyPpm(): number | undefined {
    return this.#frequencyKnown ? this.#line.slope * 1e6 : undefined;
  }

  /** The host's time at a moment of the raw clock. There must have been an observation. */
  hostNsAt(rawNs: bigint): bigint {
    return (
      rawNs + this.#window.base + BigInt(Math.round(valueAt(this.#line, this.#window.x(rawNs))))
    );
  }

  /**
   * Adds what a message tells; gives by how many ns the host's time has jumped relative to the raw
   * clock, 0 when it has not. What the host orders to be taken over (`isSync`) is a jump even where
   * it could be mere lateness.
   */
  add(observation: Observation, isSync: boolean): number {
    if (observation.kind !== this.#window.kind) this.forget();
    if (this.empty) {
      this.#begin(observation);
      return 0;
    }
    const { kind, rawNs } = observation;
    const expectedNs = this.hostNsAt(rawNs);
    this.#window.push(observation);
    const earlyNs = this.#earliness();
    this.#lateInRow = earlyNs < -MAX_LATE_NS[kind] ? this.#lateInRow + 1 : 0;
    const maxEarlyNs = MAX_EARLY_NS[kind];
    const jumped =
      earlyNs > maxEarlyNs || this.#lateInRow >= LATE_IN_ROW || (isSync && earlyNs < -maxEarlyNs);
    if (!jumped) {
      this.#estimate();
      return 0;
    }
    this.forget();
    this.#begin(observation);
    return Number(this.hostNsAt(rawNs) - expectedNs);
  }

  /**
   * How late a referenced message came, compared with the least late one; undefined before the
   * first.
   */
  latenessNs(rawNs: bigint, referenceNs: bigint): number | undefined {
    return this.#window.latenessNs(rawNs, referenceNs);
  }

  /** Forgets all observations, but for the frequency. */
  forget(): void {
    if (this.#frequencyKnown) this.#knownSlope = this.#line.slope;
    this.#frequencyKnown = false;
    this.#lateInRow = 0;
    this.#window.clear();
  }

  #begin(observation: Observation): void {
    this.#window.begin(observation);
    this.#estimate();
  }

  /**
   * How much earlier the newest observation is than the others have it, all corrected by the same
   * least delay.
   */
  #earliness(): number {
    const points = this.#window.points();
    const newest = points.pop()!;
    if (points.length === 0) return 0;
    return (
      newest.y -
      valueAt(upperEnvelope(points, EVIDENCE[this.#window.kind], this.#knownSlope), newest.x)
    );
  }

  #estimate(): void {
    const points = this.#window.points();
    const evidence = EVIDENCE[this.#window.kind];
    this.#frequencyKnown = tellsSlope(points, evidence);
    this.#line = upperEnvelope(points, evidence, this.#knownSlope);
  }
}
