import fc from 'fast-check';
import type { Decision, Mode, Refusal } from '../../../daemons/timesync/discipline.ts';
import { Discipline } from '../../../daemons/timesync/discipline.ts';
import { READING_SLOTS, ReadingSlot } from '../../../native/interface.ts';
import { SimulatedClock } from '../../../native/memory/simulated-clock.ts';
import { UNIX_EPOCH_100NS } from '../../../protocol/timesync/vmbus.ts';

/** 2026-06-01T00:00:00Z. */
export const START_NS = 1_780_272_000_000_000_000n;

export interface WorldOptions {
  /**
   * Does the guest read the partition's reference counter, does the host at least tell it, or
   * neither?
   */
  readonly reference?: 'counter' | 'told' | 'none';
  /** How much faster the guest's raw clock runs than the host's time. */
  readonly driftPpm?: number;
  /**
   * How much faster the guest's raw clock runs than the reference counter, both before `driftPpm`.
   */
  readonly paceErrorPpm?: number;
  /** The guest's clock minus the host's at the start. */
  readonly errorNs?: bigint;
  readonly mode?: Mode;
}

/**
 * A host, and a guest whose clock the discipline sets, in time that passes only when told to. True
 * time is the host's; the guest's oscillator drives its raw clock, and the reference counter.
 */
export class World {
  mode: Mode;
  readonly clock: SimulatedClock;
  readonly discipline: Discipline;
  readonly decisions: Decision[] = [];
  readonly refusals: Refusal[] = [];
  readonly steps: bigint[] = [];
  /** What the host believes beyond true time. */
  hostErrorNs = 0n;
  readonly #reference: 'counter' | 'told' | 'none';
  readonly #driftPpm: number;
  readonly #paceErrorPpm: number;
  /** Since the start. */
  #trueNs = 0;
  /** Time in which the guest did not run. */
  #suspendedNs = 0;
  #lastRealtimeNs: bigint;

  constructor({
    reference = 'counter',
    driftPpm = 0,
    paceErrorPpm = 0,
    errorNs = 0n,
    mode = 'discipline',
  }: WorldOptions) {
    this.#reference = reference;
    this.#driftPpm = driftPpm;
    this.#paceErrorPpm = paceErrorPpm;
    this.mode = mode;
    this.clock = new SimulatedClock(() => this.rawNs, START_NS + errorNs);
    this.discipline = new Discipline(this.clock.readClockState().frequencyPpm);
    this.#lastRealtimeNs = this.realtimeNs;
  }

  get rawNs(): bigint {
    return (
      77_000_000_000n +
      BigInt(Math.round((this.#trueNs - this.#suspendedNs) * (1 + this.#driftPpm / 1e6)))
    );
  }

  get counter100ns(): bigint {
    const running = this.#trueNs - this.#suspendedNs;
    return (
      9_000_000_000n +
      BigInt(Math.round((running * (1 + (this.#driftPpm - this.#paceErrorPpm) / 1e6)) / 100))
    );
  }

  get hostNs(): bigint {
    return START_NS + BigInt(Math.round(this.#trueNs)) + this.hostErrorNs;
  }

  get realtimeNs(): bigint {
    const into = new BigInt64Array(READING_SLOTS);
    this.clock.readClocks(into);
    return into[ReadingSlot.value]!;
  }

  /** The guest's clock minus the host's. */
  get errorNs(): number {
    return Number(this.realtimeNs - this.hostNs);
  }

  /** Lets time pass, and sees to it that nobody reads a clock that went back but for a step. */
  pass(ns: number): void {
    // In pieces: a slew ends within them
    for (let left = ns; left > 0; left -= 1e8) {
      this.#trueNs += Math.min(left, 1e8);
      const now = this.realtimeNs;
      if (now < this.#lastRealtimeNs)
        throw new Error(`the clock went back by ${this.#lastRealtimeNs - now} ns`);
      this.#lastRealtimeNs = now;
    }
  }

  /** The guest stands still, its clocks too. */
  suspend(ns: number): void {
    this.#trueNs += ns;
    this.#suspendedNs += ns;
  }

  /**
   * The host makes a message now, and the guest reads it `delayNs` later; gives why it was refused,
   * or what was decided.
   */
  message(isSync: boolean, delayNs = 0): Refusal | Decision {
    const sample = {
      hostTime100ns: this.hostNs / 100n + UNIX_EPOCH_100NS,
      referenceTime100ns: this.#reference === 'none' ? undefined : this.counter100ns,
      isSync,
    };
    this.pass(delayNs);
    return this.deliver(sample);
  }

  deliver(sample: Parameters<Discipline['receive']>[0]): Refusal | Decision {
    const { rawNs } = this;
    const counter =
      this.#reference === 'counter' ? { counter: { value100ns: this.counter100ns, rawNs } } : {};
    const refusal = this.discipline.receive(sample, { rawNs, ...counter });
    if (refusal !== undefined) {
      this.refusals.push(refusal);
      return refusal;
    }
    const decision = this.discipline.act({ realtimeNs: this.realtimeNs, rawNs }, this.mode)!;
    this.decisions.push(decision);
    if (decision.adjustment) {
      const { stepNs } = decision.adjustment;
      if (stepNs !== undefined) this.steps.push(stepNs);
      this.clock.adjustClock(decision.adjustment);
      if (stepNs !== undefined) this.#lastRealtimeNs = this.realtimeNs;
    }
    return decision;
  }
}

export const SECOND = 1e9;
export const MS = 1e6;
export const driftPpm = fc.integer({ min: -50, max: 50 });

/** Samples every five seconds. */
export function sampled(world: World, count: number, delayNs = 100_000): void {
  for (let i = 0; i < count; i++) {
    world.message(false, delayNs);
    world.pass(5 * SECOND - delayNs);
  }
}
