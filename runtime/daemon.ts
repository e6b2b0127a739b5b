import type { Native } from '../native/interface.ts';
import { formatVersion, type Version } from '../protocol/ic/version.ts';
import type { ServiceProtocol } from '../protocol/service-protocol.ts';
import { monotonicMs } from './clock.ts';
import { ConfigError } from './config.ts';
import type { CurrentLife, ServeEnd } from './life.ts';
import type { Log, RootLog } from './log.ts';
import type { Notifier } from './notify.ts';
import type { Peer, Service } from './service.ts';
import { createHvUtilsSession } from './sessions/hvutils.ts';
import type { Keeping, Session, SessionEvents } from './sessions/session.ts';
import { createVmbusSession } from './sessions/vmbus.ts';
import type { StatusPublisher } from './status/status.ts';
import type { Stop } from './stop.ts';
import type { OpenChannel } from './transports/transport.ts';

/** What a daemon is made of. */
export interface DaemonParts<Request, Reply extends { readonly status: number }> {
  readonly native: Native;
  readonly log: RootLog;
  /**
   * A limited log. One for all sessions: a host that has us open the channel again and again must
   * not get a fresh burst each time.
   */
  readonly hostLog: Log;
  readonly notifier: Notifier;
  readonly protocol: ServiceProtocol<Request, Reply>;
  readonly extraVersions: readonly Version[];
  readonly service: Service<Request, Reply>;
  readonly status: StatusPublisher;
  readonly life: CurrentLife;
  readonly stop: Stop;
  /** As `Program.bind`. */
  readonly bind: ((log: Log) => Promise<string | undefined>) | undefined;
}

/** A channel to serve. */
export interface ServedChannel {
  readonly opened: OpenChannel;
  /** Its transport, for people. */
  readonly where: string;
  readonly keeping?: Keeping;
}

/**
 * One service and its life, as far as it is the same for a daemon that opens its channel
 * (own-channel.ts) and for one that is started on demand (on-demand.ts).
 */
export class Daemon<Request, Reply extends { readonly status: number }> {
  readonly parts: DaemonParts<Request, Reply>;
  #messages = 0;

  constructor(parts: DaemonParts<Request, Reply>) {
    this.parts = parts;
  }

  /** Messages so far: tells whether there were any since an earlier look. */
  get messages(): number {
    return this.#messages;
  }

  /** The channel can't be had for now. Returns whether that, or its reason, is new. */
  wait(reason: string): boolean {
    const isNew = this.parts.life.wait(reason);
    if (isNew) this.parts.status.write();
    return isNew;
  }

  /** Serves an open channel until it ends, or the daemon stops or leaves. */
  async serve(served: ServedChannel): Promise<ServeEnd> {
    const { opened, where, keeping } = served;
    const { life, log, hostLog, notifier, service, status, stop } = this.parts;
    let end!: (end: ServeEnd) => void;
    const ended = new Promise<ServeEnd>((resolve) => {
      end = resolve;
    });
    // When a channel is only opened anew, the status says already that it is served
    let isTold = life.now.is === 'between';
    const session = createSession(this.parts, served, {
      connected: (peer) => {
        service.connected(peer);
        // At once, because a later life reads it. Only news, because a host can negotiate as often
        // as it likes.
        if (life.meet(peer) || !isTold) status.write();
        isTold = true;
        notifier.ready(`serving ${where}`);
        hostLog[keeping?.begun ? 'debug' : 'notice']('Connected', describe(peer));
      },
      traffic: () => {
        this.#messages++;
        status.traffic();
      },
      ended: end,
    });
    life.serve(session, end);
    stop.onRequest(() => end({ reason: 'stopped' }));
    try {
      session.start();
      // Over VMBus the host speaks first, whenever it likes
      if (opened.via === 'vmbus') notifier.ready(`serving ${where}`);
      if (!isTold) status.write();
      isTold = true;
      log[keeping?.begun ? 'debug' : 'info']('Channel open', { transport: where });
      return await ended;
    } finally {
      session.close();
      life.part();
      if (!stop.isRequested) service.disconnected?.();
    }
  }

  /**
   * Leaves the channel to a later life, if there is nothing to do. What comes while this process
   * ends waits in the channel, and starts that life.
   */
  leave(): void {
    const { life, log, service, status } = this.parts;
    if (service.busy === true) return;
    const end = life.leave();
    if (!end) return;
    status.write();
    log.debug('Nothing to do; leaving until the next request');
    end({ reason: 'left' });
  }

  /** Ends the service, and says in the status file what a later life or a person has to know. */
  async close(channel: 'own' | 'kept'): Promise<void> {
    const { life, notifier, service, status } = this.parts;
    await service.close();
    notifier.close();
    if (channel === 'own') {
      status.remove();
      return;
    }
    // A later life reads who answered. One that left has written it already.
    if (life.now.is !== 'left') status.write();
    status.close();
  }

  /** Has the service let go of what it holds, because an internal error ends the process. */
  abandon(): void {
    try {
      void this.parts.service.close();
    } catch {
      // There is an error to tell already
    }
  }
}

function createSession<Request, Reply extends { readonly status: number }>(
  { protocol, extraVersions, service, hostLog }: DaemonParts<Request, Reply>,
  { opened, where, keeping }: ServedChannel,
  events: SessionEvents,
): Session {
  const serving = { service, hostLog, events, now: monotonicMs };
  if (opened.via === 'vmbus')
    return createVmbusSession(opened.channel, { protocol, extraVersions, keeping }, serving);
  const codec = protocol.hvUtils;
  if (!codec)
    throw new ConfigError(`transport ${where}: hv_utils has no char device for ${protocol.name}`);
  return createHvUtilsSession(opened.channel, { codec, keeping }, serving);
}

const describe = (peer: Peer): Record<string, string> =>
  peer.via === 'hv_utils'
    ? { via: peer.via, kernelVersion: peer.versionText }
    : {
        via: peer.via,
        framework: formatVersion(peer.framework),
        messages: formatVersion(peer.message),
      };
