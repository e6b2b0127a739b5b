import type { ClockAdjustment } from '../../native/interface.ts';
import { IcStatus } from '../../protocol/ic/status.ts';
import { formatVersion } from '../../protocol/ic/version.ts';
import type { TimesyncReply, TimesyncRequest } from '../../protocol/timesync/vmbus.ts';
import type { Peer, Service } from '../../runtime/service.ts';
import { type Decision, Discipline, RESUME_NS } from './discipline.ts';
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
  readonly #counters = {
    messages: 0,
    syncs: 0,
    samples: 0,
    ignored: 0,
    stale: 0,
    absurd: 0,
    backwards: 0,
    steps: 0,
    slews: 0,
    fed: 0,
    failures: 0,
  };
  #choice: ReturnType<TimesyncPorts['choose']>;
  #chosenMs: number;
  #acting = false;
  #closed = false;
  #version: string | undefined;
  #last: TimesyncDetails['last'];
  #lastStep: TimesyncDetails['lastStep'];
  #problem: string | undefined;

  constructor(ports: TimesyncPorts) {
    this.#ports = ports;
    this.#discipline = new Discipline(ports.clock.state().frequencyPpm);
    this.#choice = ports.choose();
    this.#chosenMs = ports.now();
    this.#tellChoice();
    this.#publish();
  }

  handle(request: TimesyncRequest): TimesyncReply {
    const { flags } = request;
    const counters = this.#counters;
    counters.messages++;
    if (flags.sync) counters.syncs++;
    else if (flags.sample) counters.samples++;
    else counters.ignored++;
    if (flags.sync || flags.sample) this.#receive(request);
    if (!this.#acting) {
      this.#acting = true;
      this.#ports.defer(() => this.#act());
    }
    return OK;
  }

  connected(peer: Peer): void {
    this.#version = peer.via === 'vmbus' ? formatVersion(peer.message) : undefined;
    this.#publish();
  }

  status(): TimesyncDetails {
    const { mode, reason, configured, advice } = this.#choice;
    return {
      clock: this.#ports.clock.kind,
      mode,
      reason,
      configured,
      ...(advice === undefined ? {} : { advice }),
      ...(this.#version === undefined ? {} : { version: this.#version }),
      ...(this.#last ? { last: this.#last } : {}),
      ...(this.#lastStep ? { lastStep: this.#lastStep } : {}),
      ...(this.#problem === undefined ? {} : { problem: this.#problem }),
      counters: { ...this.#counters },
    };
  }

  close(): void {
    this.#closed = true;
    this.#ports.close();
  }

  #receive({ hostTime100ns, referenceTime100ns, flags }: TimesyncRequest): void {
    const counter = referenceTime100ns === undefined ? undefined : this.#ports.counter.read();
    const refusal = this.#discipline.receive(
      { hostTime100ns, referenceTime100ns, isSync: flags.sync },
      { rawNs: this.#ports.clock.read().rawNs, ...(counter ? { counter } : {}) },
    );
    if (refusal === undefined) return;
    this.#counters[refusal]++;
    this.#ports.log.warning('Refused a time sample', {
      refusal,
      hostTime100ns,
      referenceTime100ns,
      sync: flags.sync,
    });
  }

  #act(): void {
    this.#acting = false;
    if (this.#closed) return;
    const { clock, now } = this.#ports;
    if (now() - this.#chosenMs >= CHOOSE_AGAIN_MS) this.#chooseAgain();
    const reading = clock.read();
    const decision = this.#discipline.act(reading, this.#choice.mode);
    if (decision) {
      const { adjustment, offsetNs } = decision;
      if (adjustment && this.#adjust(adjustment)) this.#tellAdjustment(decision, adjustment);
      if (decision.feed && this.#ports.feedChrony(reading.realtimeNs, offsetNs))
        this.#counters.fed++;
      this.#last = {
        uptimeSecs: this.#ports.uptimeSecs(),
        offsetNs: `${offsetNs}`,
        kind: decision.kind,
        ...(decision.frequencyPpm === undefined ? {} : { frequencyPpm: decision.frequencyPpm }),
      };
    }
    this.#publish();
  }

  #adjust(adjustment: ClockAdjustment): boolean {
    try {
      this.#ports.clock.adjust(adjustment);
      this.#problem = undefined;
      return true;
    } catch (error) {
      this.#counters.failures++;
      this.#problem = (error as Error).message;
      this.#ports.log.error("The clock can't be changed: does the service have CAP_SYS_TIME?", {
        error,
      });
      return false;
    }
  }

  #tellAdjustment({ step, offsetNs }: Decision, { stepNs }: ClockAdjustment): void {
    const { log, uptimeSecs } = this.#ports;
    if (step !== undefined && stepNs !== undefined) {
      this.#counters.steps++;
      this.#lastStep = { uptimeSecs: uptimeSecs(), because: step, byNs: `${stepNs}` };
      log.notice(
        step === 'sync'
          ? 'Set the clock, as the host ordered'
          : 'Set the clock: this guest was suspended',
        {
          byNs: stepNs,
        },
      );
      return;
    }
    this.#counters.slews++;
    if (offsetNs <= -RESUME_NS) {
      log.warning(
        "The clock is ahead of the host's; without the host's order it is slowed down, but " +
          'never set back',
        {
          offsetNs,
        },
      );
    }
  }

  #chooseAgain(): void {
    this.#chosenMs = this.#ports.now();
    const before = this.#choice;
    this.#choice = this.#ports.choose();
    if (before.mode !== this.#choice.mode || before.reason !== this.#choice.reason)
      this.#tellChoice();
  }

  #tellChoice(): void {
    const { mode, reason, advice } = this.#choice;
    this.#ports.log.notice(`Mode ${mode}`, { reason, ...(advice === undefined ? {} : { advice }) });
  }

  #publish(): void {
    this.#ports.publish(this.status());
  }
}
