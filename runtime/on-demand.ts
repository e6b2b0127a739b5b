import type { Native } from '../native/interface.ts';
import type { Daemon } from './daemon.ts';
import { EXIT } from './exit-statuses.ts';
import type { Keeping } from './sessions/session.ts';
import { readPeer } from './status/status.ts';
import { adoptTransport, type Inherited } from './transports/inherited.ts';
import { formatTransport, type OpenChannel, OpenError } from './transports/transport.ts';

/**
 * One life of a daemon on a channel that another process keeps. It ends when there is nothing to
 * do, or when the channel is gone. Resolves to the exit status. Throws OpenError.
 */
export async function serveOnDemand<Request, Reply extends { readonly status: number }>(
  daemon: Daemon<Request, Reply>,
  inherited: Inherited,
  idleExitMs: number,
): Promise<number> {
  const { log, native, notifier, protocol, status } = daemon.parts;
  const where = formatTransport(inherited.transport);
  const opened = adopt(native, inherited, where);
  const begun = native.isMarked(inherited.fd);
  const { file } = status;
  const keeping: Keeping = {
    begun,
    // A fresh channel has had no life before, whatever the file says
    peer: begun && file !== undefined ? readPeer(file, protocol.name) : undefined,
    begin: () => native.mark(inherited.fd),
  };
  const ended = daemon.serve({ opened, where, keeping });
  if (begun) notifier.ready(`serving ${where} on demand`);
  const idle = idleExitMs > 0 ? leaveWhenIdle(daemon, idleExitMs) : undefined;
  const { reason, ...why } = await ended;
  clearInterval(idle);
  switch (reason) {
    case 'stopped':
    case 'left':
      return EXIT.ok;
    case 'failed':
      log.critical(
        'The channel is broken; it has to be opened anew by restarting the socket unit',
        why,
      );
      return EXIT.failure;
    case 'gone':
    case 'reopen':
      log.notice('The device went away; ending, to be started with the next one', why);
      return EXIT.ok;
  }
}

function adopt(native: Native, inherited: Inherited, where: string): OpenChannel {
  try {
    return adoptTransport(native, inherited);
  } catch (error) {
    if (error instanceof OpenError) throw error;
    throw new OpenError(`${where}: ${(error as Error).message}`, false, error);
  }
}

/** The daemon leaves between one and two such times after the last message. */
function leaveWhenIdle<Request, Reply extends { readonly status: number }>(
  daemon: Daemon<Request, Reply>,
  idleExitMs: number,
): NodeJS.Timeout {
  // Looked at now and then, because a timer for each message would cost every request
  let seen = daemon.messages;
  return setInterval(() => {
    const isIdle = seen === daemon.messages;
    seen = daemon.messages;
    if (isIdle) daemon.leave();
  }, idleExitMs);
}
