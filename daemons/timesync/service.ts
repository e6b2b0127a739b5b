import type { ClockAdjustment } from '../../native/interface.ts';
import { IcStatus } from '../../protocol/ic/status.ts';
import type { TimesyncReply, TimesyncRequest } from '../../protocol/timesync/vmbus.ts';
import type { Peer, Service } from '../../runtime/service.ts';
import { type Decision, Discipline } from './discipline.ts';
import { TimesyncHistory } from './history.ts';
import type { TimesyncPorts } from './ports.ts';
import type { TimesyncDetails } from './status.ts';

const OK: TimesyncReply = { status: IcStatus.ok };

/** Another program that disciplines the clock is noticed at the first sample after so long. */
const CHOOSE_AGAIN_MS = 60_000;

/**
 * Takes the host's messages, and does with the newest of those that came together what the
 * discipline decides.
 */
export class TimesyncService implements Service<TimesyncRequest, TimesyncReply> {
  readonly #ports: TimesyncPorts;
  readonly #discipline: Discipline;
  readonly #history: TimesyncHistory;
  #choice: ReturnType<TimesyncPorts['choose']>;
  #chosenMs: number;
  #acting = false;
  #closed = false;

  constructor(ports: TimesyncPorts) {
    this.#ports = ports;
    this.#discipline = new Discipline(ports.clock.state().frequencyPpm);
    this.#history = new TimesyncHistory(ports);
    this.#choice = ports.choose();
    this.#chosenMs = ports.now();
    this.#history.chosen(this.#choice);
    this.#publish();
  }

  handle(request: TimesyncRequest): TimesyncReply {
    const { flags } = request;
    this.#history.received(request);
    if (flags.sync || flags.sample) this.#receive(request);
    if (!this.#acting) {
      this.#acting = true;
      this.#ports.defer(() => this.#act());
    }
    return OK;
  }

  connected(peer: Peer): void {
    this.#history.connected(peer);
    this.#publish();
  }

  status(): TimesyncDetails {
    return this.#history.details(this.#choice);
  }

  close(): void {
    this.#closed = true;
    this.#ports.close();
  }

  #receive(request: TimesyncRequest): void {
    const { hostTime100ns, referenceTime100ns, flags } = request;
    const counter = referenceTime100ns === undefined ? undefined : this.#ports.counter.read();
    const refusal = this.#discipline.receive(
      { hostTime100ns, referenceTime100ns, isSync: flags.sync },
      { rawNs: this.#ports.clock.read().rawNs, ...(counter ? { counter } : {}) },
    );
    if (refusal !== undefined) this.#history.refused(request, refusal);
  }

  #act(): void {
    this.#acting = false;
    if (this.#closed) return;
    const { clock, now } = this.#ports;
    if (now() - this.#chosenMs >= CHOOSE_AGAIN_MS) this.#chooseAgain();
    const reading = clock.read();
    const decision = this.#discipline.act(reading, this.#choice.mode);
    if (decision) {
      const { adjustment, offsetNs, feed } = decision;
      if (adjustment) this.#adjust(decision, adjustment);
      const fed = feed && this.#ports.feedChrony(reading.realtimeNs, offsetNs);
      this.#history.used(decision, fed);
    }
    this.#publish();
  }

  #adjust(decision: Decision, adjustment: ClockAdjustment): void {
    try {
      this.#ports.clock.adjust(adjustment);
    } catch (error) {
      this.#history.failed(error);
      return;
    }
    this.#history.adjusted(decision, adjustment);
  }

  #chooseAgain(): void {
    this.#chosenMs = this.#ports.now();
    const before = this.#choice;
    this.#choice = this.#ports.choose();
    if (before.mode !== this.#choice.mode || before.reason !== this.#choice.reason)
      this.#history.chosen(this.#choice);
  }

  #publish(): void {
    this.#ports.publish(this.status());
  }
}
