import { IcStatus } from '../../protocol/ic/status.ts';
import type { ShutdownReply, ShutdownRequest } from '../../protocol/shutdown/vmbus.ts';
import type { Service } from '../../runtime/service.ts';
import { announcement } from './announcement.ts';
import { goDown } from './going-down.ts';
import { runHooks } from './hooks.ts';
import { Order } from './order.ts';
import type { Action, ShutdownContext } from './ports.ts';
import { actionOf, logFields } from './request.ts';

const OK: ShutdownReply = { status: IcStatus.ok };
const FAIL: ShutdownReply = { status: IcStatus.fail };
const LOCKED: ShutdownReply = { status: IcStatus.machineLocked };

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
    const fields = { ...logFields(request, action), why, ...(isLocked ? { inhibitors } : {}) };
    this.#context.hostLog.warning('Refused a shutdown request of the host', fields);
    return isLocked ? LOCKED : FAIL;
  }

  #accept(request: ShutdownRequest, action: Action): ShutdownReply {
    const { ports, log } = this.#context;
    log.notice('The host asks for a shutdown', logFields(request, action));
    const order = new Order(request, action, this.#context);
    this.#order = order;
    ports.afterAnswer(() => void this.#carryOut(order));
    return OK;
  }

  /** Takes a second request while one is on its way, if it is for the same action. */
  #join(order: Order, request: ShutdownRequest, action: Action): ShutdownReply {
    if (order.action !== action)
      return this.#refuse(request, action, `another one is on its way: ${order.action}`);
    order.join(request);
    return OK;
  }

  async #carryOut(order: Order): Promise<void> {
    const { ports, log } = this.#context;
    try {
      await ports.announce(announcement(order));
      await runHooks(order, this.#context);
      await goDown(order, this.#context);
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
}
