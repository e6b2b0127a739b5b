import { type Evidence, type Point, upperEnvelope, valueAt } from './envelope.ts';

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
export const EVIDENCE: Readonly<Record<ObservationKind, Evidence>> = {
  exact: SHARP,
  referenced: SHARP,
  plain: BLURRED,
};

interface Entry {
  readonly rawNs: bigint;
  /**
   * Host's time minus raw clock, from `base` on, as the message has it: too small by its delay.
   */
  readonly y: number;
  /**
   * Raw clock at arrival minus reference counter, from `#referenceBase` on: the delay and a
   * constant.
   */
  readonly d: number;
}

/** The latest observations, all of one kind. */
export class ObservationWindow {
  #entries: Entry[] = [];
  #kind: ObservationKind = 'plain';
  #base = 0n;
  #referenceBase = 0n;

  get empty(): boolean {
    return this.#entries.length === 0;
  }

  get kind(): ObservationKind {
    return this.#kind;
  }

  /** Host's time minus raw clock, at the first observation. */
  get base(): bigint {
    return this.#base;
  }

  clear(): void {
    this.#entries = [];
  }

  /** Adds the first observation, which decides about the kind. */
  begin(observation: Observation): void {
    this.#kind = observation.kind;
    this.#base = observation.hostNs - observation.rawNs;
    if (observation.kind === 'referenced')
      this.#referenceBase = observation.rawNs - observation.referenceNs;
    this.push(observation);
  }

  push(observation: Observation): void {
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

  /** How late a referenced message came, compared with the least late one. */
  latenessNs(rawNs: bigint, referenceNs: bigint): number | undefined {
    if (this.empty || this.#kind !== 'referenced') return undefined;
    return Number(rawNs - referenceNs - this.#referenceBase) - this.#leastDelay()(this.x(rawNs));
  }

  /** The observations, each corrected by how late it came as far as that can be known. */
  points(): Point[] {
    const entries = this.#entries;
    if (this.#kind !== 'referenced')
      return entries.map(({ rawNs, y }) => ({ x: this.x(rawNs), y }));
    const least = this.#leastDelay();
    return entries.map(({ rawNs, y, d }) => {
      const x = this.x(rawNs);
      return { x, y: y + d - least(x) };
    });
  }

  /**
   * Under all d: what a message without delay would have had. As long as nothing else is known the
   * counter and the raw clock are taken to run at one pace, since both come from the TSC.
   */
  #leastDelay(): (x: number) => number {
    const negative = this.#entries.map(({ rawNs, d }) => ({ x: this.x(rawNs), y: -d }));
    const line = upperEnvelope(negative, BLURRED, 0);
    return (x) => -valueAt(line, x);
  }

  /** Nanoseconds of the raw clock since the first observation. */
  x(rawNs: bigint): number {
    return Number(rawNs - this.#entries[0]!.rawNs);
  }
}
