import type { ShutdownRequest } from '../../protocol/shutdown/vmbus.ts';
import type { Action, ShutdownContext, ShutdownPolicy, ShutdownPorts, Wait } from './ports.ts';

/** Nobody waits longer, whatever a host says. */
const LONGEST_TIMEOUT_SECS = 3600;

/** A request on its way, and the time that it has. */
export class Order {
  readonly action: Action;
  readonly request: ShutdownRequest;
  readonly startedMs: number;
  readonly #ports: Pick<ShutdownPorts, 'now' | 'wait'>;
  readonly #policy: ShutdownPolicy;
  #force: boolean;
  #deadlineMs: number;
  #wait: Wait | undefined;

  constructor(request: ShutdownRequest, action: Action, { ports, policy }: ShutdownContext) {
    this.action = action;
    this.request = request;
    this.startedMs = ports.now();
    this.#ports = ports;
    this.#policy = policy;
    this.#force = request.flags.force;
    this.#deadlineMs = this.startedMs + timeoutMs(request, policy);
  }

  /** The host wants it even if programs ask for the contrary. */
  get force(): boolean {
    return this.#force;
  }

  get deadlineMs(): number {
    return this.#deadlineMs;
  }

  /** Takes in a later request for the same: it may add force, or shorten the time. */
  join(request: ShutdownRequest): void {
    this.#force ||= request.flags.force;
    this.#deadlineMs = Math.min(
      this.#deadlineMs,
      this.#ports.now() + timeoutMs(request, this.#policy),
    );
    this.#wait?.cancel();
  }

  /**
   * Waits until `untilMs`, which is computed anew whenever another request joins. Returns false
   * when the daemon ends.
   */
  async waitUntil(untilMs: () => number): Promise<boolean> {
    for (;;) {
      const leftMs = untilMs() - this.#ports.now();
      if (leftMs <= 0) return true;
      this.#wait = this.#ports.wait(leftMs);
      if (!(await this.#wait.done)) return false;
    }
  }
}

function timeoutMs(
  { timeoutSecs }: ShutdownRequest,
  { defaultTimeoutSecs, leastTimeoutSecs }: ShutdownPolicy,
): number {
  const secs = timeoutSecs === 0 ? defaultTimeoutSecs : timeoutSecs;
  return Math.min(Math.max(secs, leastTimeoutSecs), LONGEST_TIMEOUT_SECS) * 1000;
}
