import {
  type Evidence,
  type Line,
  type Point,
  tellsSlope,
  upperEnvelope,
  valueAt,
} from './envelope.ts';

/**
 * What one message of the host tells, on this guest's raw clock.
 * - exact: the partition's reference counter told how old the message was.
 * - referenced: the message carries the counter's value of its making, but we can't read the
 *   counter: how late it came shows by comparison with the least late one, since counter and raw
 *   clock keep the same pace.
 * - plain: nothing tells how late it came.
 */
export type Observation =
  | { readonly kind: 'exact' | 'plain'; readonly rawNs: bigint; readonly hostNs: bigint }
  | {
      readonly kind: 'referenced';
      readonly rawNs: bigint;
      readonly hostNs: bigint;
      readonly referenceNs: bigint;
    };
export type ObservationKind = Observation['kind'];

/** Five minutes of samples, as hosts send one every five seconds. */
const WINDOW = 64;
/** Observations from which a pace can be told where nothing blurs them, and where delays do. */
const SHARP: Evidence = { minPoints: 5, minSpan: 20e9 };
const BLURRED: Evidence = { minPoints: 20, minSpan: 120e9 };
const EVIDENCE: Readonly<Record<ObservationKind, Evidence>> = {
  exact: SHARP,
  referenced: SHARP,
  plain: BLURRED,
};
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

interface Entry {
  readonly rawNs: bigint;
  /**
   * Host's time minus raw clock, from `#base` on, as the message has it: too small by its delay.
   */
  readonly y: number;
  /**
   * Raw clock at arrival minus reference counter, from `#referenceBase` on: the delay and a
   * constant.
   */
  readonly d: number;
}

/**
 * Follows the host's time along the raw clock, which nobody sets: what is done to the guest's clock
 * does not disturb it.
 */
export class HostTime {
  #entries: Entry[] = [];
  #kind: ObservationKind = 'plain';
  #base = 0n;
  #referenceBase = 0n;
  #line: Line = { x0: 0, y0: 0, slope: 0 };
  #frequencyKnown = false;
  #lateInRow = 0;
  /** Host's pace relative to the raw clock, as known before there are enough observations. */
  #knownSlope: number;

  constructor(frequencyPpm: number) {
    this.#knownSlope = frequencyPpm / 1e6;
  }

  get empty(): boolean {
    return this.#entries.length === 0;
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
    return rawNs + this.#base + BigInt(Math.round(valueAt(this.#line, this.#x(rawNs))));
  }

  /**
   * Adds what a message tells; gives by how many ns the host's time has jumped relative to the raw
   * clock, 0 when it has not. What the host orders to be taken over (`isSync`) is a jump even where
   * it could be mere lateness.
   */
  add(observation: Observation, isSync: boolean): number {
    if (observation.kind !== this.#kind) this.forget();
    this.#kind = observation.kind;
    if (this.empty) {
      this.#begin(observation);
      return 0;
    }
    const { kind, rawNs } = observation;
    const expectedNs = this.hostNsAt(rawNs);
    this.#push(observation);
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
    if (this.empty || this.#kind !== 'referenced') return undefined;
    return Number(rawNs - referenceNs - this.#referenceBase) - this.#leastDelay()(this.#x(rawNs));
  }

  /** Forgets all observations, but for the frequency. */
  forget(): void {
    if (this.#frequencyKnown) this.#knownSlope = this.#line.slope;
    this.#frequencyKnown = false;
    this.#lateInRow = 0;
    this.#entries = [];
  }

  #begin(observation: Observation): void {
    this.#base = observation.hostNs - observation.rawNs;
    if (observation.kind === 'referenced')
      this.#referenceBase = observation.rawNs - observation.referenceNs;
    this.#push(observation);
    this.#estimate();
  }

  #push(observation: Observation): void {
    const { rawNs, hostNs } = observation;
    const y = Number(hostNs - rawNs - this.#base);
    const d =
      observation.kind === 'referenced'
        ? Number(rawNs - observation.referenceNs - this.#referenceBase)
        : 0;
    // A second message of the same moment replaces the first: a line through both would have no
    // slope
    if (this.#entries.at(-1)?.rawNs === rawNs) this.#entries.pop();
    this.#entries.push({ rawNs, y, d });
    if (this.#entries.length > WINDOW) this.#entries.shift();
  }

  /**
   * How much earlier the newest observation is than the others have it, all corrected by the same
   * least delay.
   */
  #earliness(): number {
    const points = this.#points();
    const newest = points.pop()!;
    if (points.length === 0) return 0;
    return (
      newest.y - valueAt(upperEnvelope(points, EVIDENCE[this.#kind], this.#knownSlope), newest.x)
    );
  }

  #estimate(): void {
    const points = this.#points();
    const evidence = EVIDENCE[this.#kind];
    this.#frequencyKnown = tellsSlope(points, evidence);
    this.#line = upperEnvelope(points, evidence, this.#knownSlope);
  }

  /** The observations, each corrected by how late it came as far as that can be known. */
  #points(): Point[] {
    const entries = this.#entries;
    if (this.#kind !== 'referenced')
      return entries.map(({ rawNs, y }) => ({ x: this.#x(rawNs), y }));
    const least = this.#leastDelay();
    return entries.map(({ rawNs, y, d }) => {
      const x = this.#x(rawNs);
      return { x, y: y + d - least(x) };
    });
  }

  /**
   * Under all d: what a message without delay would have had. As long as nothing else is known the
   * counter and the raw clock are taken to run at one pace, since both come from the TSC.
   */
  #leastDelay(): (x: number) => number {
    const negative = this.#entries.map(({ rawNs, d }) => ({ x: this.#x(rawNs), y: -d }));
    const line = upperEnvelope(negative, BLURRED, 0);
    return (x) => -valueAt(line, x);
  }

  #x(rawNs: bigint): number {
    return Number(rawNs - this.#entries[0]!.rawNs);
  }
}
