import { monotonicMs } from './clock.ts';
import type { Daemon } from './daemon.ts';
import { EXIT } from './exit-statuses.ts';
import {
  formatTransport,
  type OpenChannel,
  OpenError,
  openTransport,
  settleTransport,
  type Transport,
} from './transports/transport.ts';

/**
 * The daemon looks this often for a device that is absent or taken, because no event tells of every
 * way it can come back.
 */
const RETRY_MS = 2000;
/** How long a channel that was just bound takes to show its device. */
const BOUND_MS = 100;
/**
 * A session that ends this soon after its start is not started again at once. Otherwise a broken
 * peer would keep a core busy.
 */
const HEALTHY_SESSION_MS = 1000;

/**
 * The life of a daemon that opens its channel itself: opens, serves, and opens again while the
 * device comes and goes. Resolves to the exit status. Throws OpenError when waiting is of no use.
 */
export async function serveOwnChannel<Request, Reply extends { readonly status: number }>(
  daemon: Daemon<Request, Reply>,
  transport: Transport,
  endUnbound: boolean,
): Promise<number> {
  const { native, log, notifier, stop } = daemon.parts;
  while (!stop.isRequested) {
    const startedMs = monotonicMs();
    const settled = settleTransport(transport);
    let opened: OpenChannel;
    try {
      opened = openTransport(native, settled);
    } catch (error) {
      if (!(error instanceof OpenError) || !error.waitable) throw error;
      if (error.unbound && endUnbound) {
        log.notice(`Ending, to be started afresh: ${error.message}`);
        return EXIT.unbound;
      }
      await awaitChannel(daemon, error);
      continue;
    }
    const end = await daemon.serve({ opened, where: formatTransport(settled) });
    switch (end.reason) {
      case 'stopped':
      case 'left':
        return EXIT.ok;
      case 'failed':
        log.critical('The channel is broken; ending, to be started afresh', { error: end.error });
        return EXIT.failure;
      case 'gone':
        log.notice('The device went away; waiting for it to come back');
        notifier.status('device gone; waiting');
        daemon.wait('the device to come back');
        // Not at once: hv_utils takes its char device down only after our close, and an open that
        // falls into that finds freed memory (hvutil_transport_destroy,
        // drivers/hv/hv_utils_transport.c: kfree follows misc_deregister without waiting for
        // misc_open)
        await stop.pause(RETRY_MS);
        break;
      case 'reopen':
        log.notice('Opening the device anew', { why: end.why });
        if (monotonicMs() - startedMs < HEALTHY_SESSION_MS) await stop.pause(RETRY_MS);
        break;
    }
  }
  return EXIT.ok;
}

/** Has the program bind a channel that is unbound. Where that is of no use, waits for a while. */
async function awaitChannel<Request, Reply extends { readonly status: number }>(
  daemon: Daemon<Request, Reply>,
  { message, unbound }: OpenError,
): Promise<void> {
  const { log, notifier, bind, stop } = daemon.parts;
  let reason = message;
  if (unbound && bind) {
    const problem = await bind(log).catch((why: Error) => why.message);
    if (problem === undefined) {
      await stop.pause(BOUND_MS);
      return;
    }
    reason += `; it can't be bound from here: ${problem}`;
  }
  if (daemon.wait(reason)) log.warning(`Waiting: ${reason}`);
  // Ready all the same: boot must not wait for a device that may never come
  notifier.ready(`waiting: ${reason}`);
  await stop.pause(RETRY_MS);
}
