import type {
  ApplicationState,
  HeartbeatReply,
  HeartbeatRequest,
} from '../../protocol/heartbeat/vmbus.ts';
import { IcStatus } from '../../protocol/ic/status.ts';
import type { Log } from '../../runtime/log.ts';
import type { Service } from '../../runtime/service.ts';
import { type Health, judge } from './health.ts';

/** Answers beats from memory: nothing that finds out how the guest is can hold one up. */
export class HeartbeatService implements Service<HeartbeatRequest, HeartbeatReply> {
  readonly #watchesUnits: boolean;
  readonly #log: Pick<Log, 'notice' | 'warning'>;
  readonly #onClose: () => void;
  #state: ApplicationState = 'unknown';
  #reasons: readonly string[] = [];
  #said = '';

  constructor(watchesUnits: boolean, log: Pick<Log, 'notice' | 'warning'>, onClose: () => void) {
    this.#watchesUnits = watchesUnits;
    this.#log = log;
    this.#onClose = onClose;
  }

  handle({ sequence }: HeartbeatRequest): HeartbeatReply {
    return {
      status: IcStatus.ok,
      sequence: BigInt.asUintN(64, sequence + 1n),
      applicationState: this.#state,
    };
  }

  connected(): void {}

  status() {
    return { applicationState: this.#state, reasons: this.#reasons };
  }

  update(health: Health): void {
    const { state, reasons } = judge(health, this.#watchesUnits);
    this.#state = state;
    this.#reasons = reasons;
    const text = `${state}: ${reasons.join('; ')}`;
    if (text === this.#said) return;
    this.#said = text;
    const severity = state === 'critical' ? 'warning' : 'notice';
    this.#log[severity]('The application state changed', {
      state,
      ...(reasons.length > 0 ? { reasons } : {}),
    });
  }

  close(): void {
    this.#onClose();
  }
}
