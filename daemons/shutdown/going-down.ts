import type { Order } from './order.ts';
import type { ShutdownContext, Urgency } from './ports.ts';

/** Between two attempts to have the system go down orderly. */
const RETRY_MS = 5000;
/** Between the forced way and the immediate one. */
const GRACE_MS = 60_000;

/** Brings the system down: orderly until the deadline, and then with more and more force. */
export async function goDown(order: Order, context: ShutdownContext): Promise<void> {
  const isDue = await goOrderly(order, context);
  if (isDue && (await mayForce(order, context))) await goByForce(order, context);
}

/** Tries until the deadline. Returns true if the system is still up then and was to be down. */
async function goOrderly(order: Order, context: ShutdownContext): Promise<boolean> {
  const { now } = context.ports;
  for (;;) {
    const going = await go(order, 'orderly', context);
    if (going === 'over') return false;
    // A system that can't hibernate after all goes on; and one that did is awake again
    if (order.action === 'hibernate') return false;
    const retryMs = going === 'failed' ? now() + RETRY_MS : Number.POSITIVE_INFINITY;
    if (!(await order.waitUntil(() => Math.min(retryMs, order.deadlineMs)))) return false;
    if (now() >= order.deadlineMs) return true;
  }
}

/** Says why not, if not. */
async function mayForce(
  { action, force }: Order,
  { ports, log, policy }: ShutdownContext,
): Promise<boolean> {
  if (!policy.forcesAtDeadline) {
    log.error("The system did not go down by the host's deadline; not forced, as configured", {
      action,
    });
    return false;
  }
  if (!policy.respectsInhibitors || force) return true;
  const inhibitors = await ports.inhibitors(action);
  if (inhibitors.length === 0) return true;
  log.error("The system did not go down by the host's deadline, since programs ask for that", {
    inhibitors,
  });
  return false;
}

async function goByForce(order: Order, context: ShutdownContext): Promise<void> {
  const { ports, log } = context;
  const { action } = order;
  log.critical("The system did not go down by the host's deadline; it is forced now", { action });
  if ((await go(order, 'forced', context)) === 'over') return;
  const graceEndMs = ports.now() + GRACE_MS;
  if (!(await order.waitUntil(() => graceEndMs))) return;
  // Without this much said by the host, losing what programs still hold is not ours to decide
  if (!order.force) return;
  log.critical('The system is still up; it goes down at once', { action });
  await go(order, 'immediate', context);
}

/** Gives the last command. Returns "over" when there is nothing more to do. */
async function go(
  { action }: Order,
  urgency: Urgency,
  { ports, log }: ShutdownContext,
): Promise<'going' | 'failed' | 'over'> {
  log.notice('The system goes down', { action, urgency });
  const gone = await ports.go(action, urgency);
  if (gone.result === 'failed') {
    log.error('The system could not be brought to go down', { action, urgency, why: gone.why });
    return 'failed';
  }
  return gone.result === 'going' ? 'going' : 'over';
}
