import { IcStatus } from '../../protocol/ic/status.ts';
import {
  REASON_PLANNED,
  type ShutdownReply,
  type ShutdownRequest,
} from '../../protocol/shutdown/vmbus.ts';
import type { Service } from '../../runtime/service.ts';
import { printable } from '../../runtime/text.ts';
import type { Action, ShutdownContext, Urgency } from './ports.ts';

const OK: ShutdownReply = { status: IcStatus.ok };
const FAIL: ShutdownReply = { status: IcStatus.fail };
const LOCKED: ShutdownReply = { status: IcStatus.machineLocked };

/** Nobody waits longer, whatever a host says. */
const LONGEST_TIMEOUT_SECS = 3600;
/** Between two attempts to have the system go down orderly. */
const RETRY_MS = 5000;
/** Between the forced way and the immediate one. */
const GRACE_MS = 60_000;
const SHOWN_MESSAGE_CHARACTERS = 500;

/** A request on its way. */
interface Order {
  readonly action: Action;
  readonly request: ShutdownRequest;
  readonly startedMs: number;
  /** A later request may add force, or shorten the time. */
  force: boolean;
  deadlineMs: number;
  wake: () => void;
}

/** Decides what a host's request comes to, and carries it out after the answer. */
export class ShutdownService implements Service<ShutdownRequest, ShutdownReply> {
  readonly #context: ShutdownContext;
  #order: Order | undefined;

  constructor(context: ShutdownContext) {
    this.#context = context;
  }

  handle(request: ShutdownRequest): ShutdownReply | Promise<ShutdownReply> {
    const { policy } = this.#context;
    const action = actionOf(request);
    if (action === undefined) return this.#refuse(request, action, 'its flags mean nothing here');
    if (policy.refuse.includes(action))
      return this.#refuse(request, action, 'the configuration says so');
    if (this.#order) return this.#join(this.#order, request, action);
    const asksInhibitors = policy.respectsInhibitors && !request.flags.force;
    if (action !== 'hibernate' && !asksInhibitors) return this.#accept(request, action);
    return this.#ask(request, action, asksInhibitors);
  }

  connected(): void {}

  close(): void {
    this.#context.ports.close();
  }

  /** What can't be known without asking. */
  async #ask(
    request: ShutdownRequest,
    action: Action,
    asksInhibitors: boolean,
  ): Promise<ShutdownReply> {
    const { ports } = this.#context;
    if (action === 'hibernate') {
      const why = await ports.hibernationProblem();
      if (why !== undefined) return this.#refuse(request, action, why);
    }
    if (asksInhibitors) {
      const inhibitors = await ports.inhibitors(action);
      // What Windows says while somebody works at it: the host may ask again, with force
      if (inhibitors.length > 0)
        return this.#refuse(request, action, 'programs ask for that', inhibitors);
    }
    return this.#accept(request, action);
  }

  #refuse(
    request: ShutdownRequest,
    action: Action | undefined,
    why: string,
    inhibitors: readonly string[] = [],
  ): ShutdownReply {
    const isLocked = inhibitors.length > 0;
    const fields = { ...describe(request, action), why, ...(isLocked ? { inhibitors } : {}) };
    this.#context.hostLog.warning('Refused a shutdown request of the host', fields);
    return isLocked ? LOCKED : FAIL;
  }

  #accept(request: ShutdownRequest, action: Action): ShutdownReply {
    const { ports, log } = this.#context;
    log.notice('The host asks for a shutdown', describe(request, action));
    const startedMs = ports.now();
    const order: Order = {
      action,
      request,
      startedMs,
      force: request.flags.force,
      deadlineMs: startedMs + this.#timeoutMs(request),
      wake: () => {},
    };
    this.#order = order;
    ports.afterAnswer(() => void this.#carryOut(order));
    return OK;
  }

  /**
   * A second request while one is on its way: the same, or the same with more force or less time.
   */
  #join(order: Order, request: ShutdownRequest, action: Action): ShutdownReply {
    const { ports } = this.#context;
    if (order.action !== action)
      return this.#refuse(request, action, `another one is on its way: ${order.action}`);
    order.force ||= request.flags.force;
    order.deadlineMs = Math.min(order.deadlineMs, ports.now() + this.#timeoutMs(request));
    order.wake();
    return OK;
  }

  #timeoutMs({ timeoutSecs }: ShutdownRequest): number {
    const { defaultTimeoutSecs, leastTimeoutSecs } = this.#context.policy;
    const secs = timeoutSecs === 0 ? defaultTimeoutSecs : timeoutSecs;
    return Math.min(Math.max(secs, leastTimeoutSecs), LONGEST_TIMEOUT_SECS) * 1000;
  }

  async #carryOut(order: Order): Promise<void> {
    const { ports, log } = this.#context;
    try {
      await ports.announce(announcement(order));
      await this.#runHooks(order);
      await this.#goDown(order);
    } catch (error) {
      log.critical('Carrying out a shutdown request failed', {
        error,
        stack: (error as Error).stack,
      });
    } finally {
      // Still here: the host may ask again
      this.#order = undefined;
    }
  }

  /**
   * Each hook gets its part of what is left of the hooks' share, so that one that hangs takes no
   * other's time.
   */
  async #runHooks(order: Order): Promise<void> {
    const { ports, log, policy } = this.#context;
    const { files, refused } = ports.hooks();
    for (const why of refused) log.warning('A shutdown hook is not run', { why });
    for (const [i, file] of files.entries()) {
      const endMs = order.startedMs + (order.deadlineMs - order.startedMs) * policy.hookShare;
      const timeoutMs = Math.floor((endMs - ports.now()) / (files.length - i));
      if (timeoutMs <= 0) {
        log.error('No time left for shutdown hooks', { skipped: files.slice(i) });
        return;
      }
      log.info('Running a shutdown hook', { file, timeoutMs });
      const problem = await ports.runHook(file, this.#environment(order, timeoutMs), timeoutMs);
      if (problem !== undefined) log.error('A shutdown hook failed', { file, problem });
    }
  }

  #environment(
    { action, request, force, deadlineMs }: Order,
    timeoutMs: number,
  ): Record<string, string> {
    const { reasonCode } = request;
    return {
      VMIC_ACTION: action,
      VMIC_FORCE: force ? 'yes' : 'no',
      VMIC_REASON: hexCode(reasonCode),
      VMIC_PLANNED: (reasonCode & REASON_PLANNED) !== 0 ? 'yes' : 'no',
      VMIC_MESSAGE: shownMessage(request),
      VMIC_SECONDS_LEFT: String(
        Math.max(0, Math.round((deadlineMs - this.#context.ports.now()) / 1000)),
      ),
      VMIC_HOOK_SECONDS: String(Math.max(1, Math.floor(timeoutMs / 1000))),
    };
  }

  async #goDown(order: Order): Promise<void> {
    const { ports, log, policy } = this.#context;
    const { action } = order;
    for (;;) {
      const going = await this.#go(order, 'orderly');
      if (going === 'over') return;
      // A system that can't hibernate after all goes on; and one that did is awake again
      if (action === 'hibernate') return;
      const retryMs = going === 'failed' ? ports.now() + RETRY_MS : Number.POSITIVE_INFINITY;
      if (!(await this.#waitUntil(order, () => Math.min(retryMs, order.deadlineMs)))) return;
      if (ports.now() >= order.deadlineMs) break;
    }
    if (!policy.forcesAtDeadline) {
      log.error("The system did not go down by the host's deadline; not forced, as configured", {
        action,
      });
      return;
    }
    if (policy.respectsInhibitors && !order.force) {
      const inhibitors = await ports.inhibitors(action);
      if (inhibitors.length > 0) {
        log.error(
          "The system did not go down by the host's deadline, since programs ask for that",
          { inhibitors },
        );
        return;
      }
    }
    log.critical("The system did not go down by the host's deadline; it is forced now", { action });
    if ((await this.#go(order, 'forced')) === 'over') return;
    const graceEndMs = ports.now() + GRACE_MS;
    if (!(await this.#waitUntil(order, () => graceEndMs))) return;
    // Without this much said by the host, losing what programs still hold is not ours to decide
    if (!order.force) return;
    log.critical('The system is still up; it goes down at once', { action });
    await this.#go(order, 'immediate');
  }

  async #go({ action }: Order, urgency: Urgency): Promise<'going' | 'failed' | 'over'> {
    const { ports, log } = this.#context;
    log.notice('The system goes down', { action, urgency });
    const gone = await ports.go(action, urgency);
    if (gone.result === 'failed') {
      log.error('The system could not be brought to go down', { action, urgency, why: gone.why });
      return 'failed';
    }
    return gone.result === 'going' ? 'going' : 'over';
  }

  /** False when it is all over. The end is looked at anew whenever the order changes. */
  async #waitUntil(order: Order, untilMs: () => number): Promise<boolean> {
    const { ports } = this.#context;
    for (;;) {
      const leftMs = untilMs() - ports.now();
      if (leftMs <= 0) return true;
      const { done, cancel } = ports.wait(leftMs);
      order.wake = cancel;
      if (!(await done)) return false;
    }
  }
}

/** Undefined: flags that together mean nothing (drivers/hv/hv_util.c knows 0 to 5). */
function actionOf({ flags }: ShutdownRequest): Action | undefined {
  if (flags.unknown !== 0 || (flags.restart && flags.hibernate)) return undefined;
  if (flags.hibernate) return 'hibernate';
  return flags.restart ? 'restart' : 'power-off';
}

const hexCode = (code: number): string => `0x${code.toString(16).padStart(8, '0')}`;

/** The host's words in a form that controls no terminal. */
const shownMessage = ({ message }: ShutdownRequest): string =>
  printable(message).slice(0, SHOWN_MESSAGE_CHARACTERS);

const describe = (
  request: ShutdownRequest,
  action: Action | undefined,
): Record<string, unknown> => ({
  action: action ?? 'unknown',
  force: request.flags.force,
  ...(action === undefined ? { flags: request.flags } : {}),
  reason: hexCode(request.reasonCode),
  timeoutSecs: request.timeoutSecs,
  text: shownMessage(request),
});

const WORDS: Readonly<Record<Action, string>> = {
  'power-off': 'power off',
  restart: 'restart',
  hibernate: 'hibernate',
};

function announcement({ action, request, deadlineMs, startedMs }: Order): string {
  const message = shownMessage(request);
  return [
    `The host of this virtual machine (Hyper-V) has asked it to ${WORDS[action]} within ` +
      `${Math.round((deadlineMs - startedMs) / 1000)} seconds.`,
    ...(message === '' ? [] : [`Its message: ${message}`]),
    '',
  ].join('\n');
}
