import type { ClockAdjustment } from '../../native/interface.ts';
import { formatVersion } from '../../protocol/ic/version.ts';
import type { TimesyncRequest } from '../../protocol/timesync/vmbus.ts';
import type { Peer } from '../../runtime/service.ts';
import { type Decision, RESUME_NS, type Refusal } from './discipline.ts';
import type { TimesyncPorts } from './ports.ts';
import type { TimesyncDetails } from './status.ts';

type Choice = ReturnType<TimesyncPorts['choose']>;

/** Tells of messages and of the clock: in the log, by counters, and in the status. */
export class TimesyncHistory {
  readonly #ports: TimesyncPorts;
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
  #version: string | undefined;
  #last: TimesyncDetails['last'];
  #lastStep: TimesyncDetails['lastStep'];
  #problem: string | undefined;

  constructor(ports: TimesyncPorts) {
    this.#ports = ports;
  }

  connected(peer: Peer): void {
    this.#version = peer.via === 'vmbus' ? formatVersion(peer.message) : undefined;
  }

  chosen({ mode, reason, advice }: Choice): void {
    this.#ports.log.notice(`Mode ${mode}`, { reason, ...(advice === undefined ? {} : { advice }) });
  }

  received({ flags }: TimesyncRequest): void {
    const counters = this.#counters;
    counters.messages++;
    if (flags.sync) counters.syncs++;
    else if (flags.sample) counters.samples++;
    else counters.ignored++;
  }

  refused({ hostTime100ns, referenceTime100ns, flags }: TimesyncRequest, refusal: Refusal): void {
    this.#counters[refusal]++;
    this.#ports.log.warning('Refused a time sample', {
      refusal,
      hostTime100ns,
      referenceTime100ns,
      sync: flags.sync,
    });
  }

  /** A sample was used; `fed`: chronyd took it. */
  used({ offsetNs, kind, frequencyPpm }: Decision, fed: boolean): void {
    if (fed) this.#counters.fed++;
    this.#last = {
      uptimeSecs: this.#ports.uptimeSecs(),
      offsetNs: `${offsetNs}`,
      kind,
      ...(frequencyPpm === undefined ? {} : { frequencyPpm }),
    };
  }

  adjusted({ step, offsetNs }: Decision, { stepNs }: ClockAdjustment): void {
    const { log, uptimeSecs } = this.#ports;
    this.#problem = undefined;
    if (step !== undefined && stepNs !== undefined) {
      this.#counters.steps++;
      this.#lastStep = { uptimeSecs: uptimeSecs(), because: step, byNs: `${stepNs}` };
      const words =
        step === 'sync'
          ? 'Set the clock, as the host ordered'
          : 'Set the clock: this guest was suspended';
      log.notice(words, { byNs: stepNs });
      return;
    }
    this.#counters.slews++;
    if (offsetNs > -RESUME_NS) return;
    log.warning(
      "The clock is ahead of the host's; without the host's order it is slowed down, but never " +
        'set back',
      { offsetNs },
    );
  }

  /** The clock could not be changed. */
  failed(error: unknown): void {
    this.#counters.failures++;
    this.#problem = error instanceof Error ? error.message : String(error);
    this.#ports.log.error("The clock can't be changed: does the service have CAP_SYS_TIME?", {
      error,
    });
  }

  /** What is to be told now. */
  details({ mode, reason, configured, advice }: Choice): TimesyncDetails {
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
}
