import type { Native } from '../native/interface.ts';
import { formatVersion, type Version } from '../protocol/ic/version.ts';
import { monotonicMs } from './clock.ts';
import { ConfigError, type OptionTable } from './config.ts';
import { type Life, peerOf, type ServeEnd, tellLife } from './life.ts';
import { limitLog } from './log/limit.ts';
import type { Log, RootLog } from './log.ts';
import { createNotifier, type Notifier } from './notify.ts';
import type { Peer, Program, Service } from './service.ts';
import { createHvUtilsSession } from './sessions/hvutils.ts';
import type { Keeping, Session, SessionEvents } from './sessions/session.ts';
import { createVmbusSession } from './sessions/vmbus.ts';
import type { Settings } from './settings.ts';
import { runtimeDirectory, StatusPublisher } from './status/status.ts';
import { Stop } from './stop.ts';
import type { Inherited } from './transports/inherited.ts';
import { formatTransport, type OpenChannel } from './transports/transport.ts';
import { VERSION } from './version.ts';

/**
 * A request that the service works on for longer than this is stuck, unless the program says
 * otherwise. The watchdog is no longer fed then.
 */
const LONGEST_REQUEST_SECS = 60;

export interface DaemonParts<Options extends OptionTable> {
  readonly native: Native;
  readonly log: RootLog;
  readonly settings: Settings<Options>;
  /** The channel that another process keeps between our lives, where there is one. */
  readonly inherited: Inherited | undefined;
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
export class Daemon<
  Request,
  Reply extends { readonly status: number },
  Options extends OptionTable,
> {
  readonly native: Native;
  readonly log: RootLog;
  readonly notifier: Notifier;
  readonly program: Program<Request, Reply, Options>;
  readonly status: StatusPublisher;
  readonly stop = new Stop();
  readonly #service: Service<Request, Reply>;
  readonly #isOnDemand: boolean;
  readonly #transport: string;
  /**
   * One for all sessions: a host that has us open the channel again and again must not get a fresh
   * burst each time.
   */
  readonly #hostLog: Log;
  readonly #extraVersions: readonly Version[];
  #life: Life = { is: 'opening' };
  #messages = 0;

  constructor(
    program: Program<Request, Reply, Options>,
    { native, log, settings, inherited }: DaemonParts<Options>,
  ) {
    this.program = program;
    this.native = native;
    this.log = log;
    this.#hostLog = limitLog(log);
    this.#isOnDemand = inherited !== undefined;
    this.#transport = formatTransport(inherited?.transport ?? settings.transport);
    // Before the service, whose children must not find $NOTIFY_SOCKET
    this.notifier = createNotifier(native, process.env, () => this.#isHealthy());
    this.#listenToSignals();
    this.#service = program.create({
      native,
      options: settings.own,
      log,
      hostLog: this.#hostLog,
      logHold: log,
      version: VERSION,
    });
    this.status = new StatusPublisher(runtimeDirectory(process.env), program.protocol.name, {
      log,
      now: monotonicMs,
      tell: () => this.#tell(),
      isHeld: () => log.isHeld,
    });
    this.#extraVersions = program.extraVersions?.(settings.own) ?? [];
  }

  /** Messages so far: tells whether there were any since an earlier look. */
  get messages(): number {
    return this.#messages;
  }

  /** The channel can't be had for now. Returns whether that, or its reason, is new. */
  wait(reason: string): boolean {
    if (this.#life.is === 'waiting' && this.#life.reason === reason) return false;
    this.#life = { is: 'waiting', reason };
    this.status.write();
    return true;
  }

  /** Serves an open channel until it ends, or the daemon stops or leaves. */
  async serve(served: ServedChannel): Promise<ServeEnd> {
    const { opened, where, keeping } = served;
    const before = this.#life;
    let end!: (end: ServeEnd) => void;
    const ended = new Promise<ServeEnd>((resolve) => {
      end = resolve;
    });
    // When a channel is only opened anew, the status says already that it is served
    let isTold = before.is === 'between';
    const session = this.#createSession(served, {
      connected: (peer) => {
        this.#service.connected(peer);
        // At once, because a later life reads it. Only news, because a host can negotiate as often
        // as it likes.
        if (this.#meet(peer) || !isTold) this.status.write();
        isTold = true;
        this.notifier.ready(`serving ${where}`);
        this.#hostLog[keeping?.begun ? 'debug' : 'notice']('Connected', describe(peer));
      },
      traffic: () => {
        this.#messages++;
        this.status.traffic();
      },
      ended: end,
    });
    this.#life = { is: 'serving', session, peer: peerOf(before), end };
    this.stop.onRequest(() => end({ reason: 'stopped' }));
    try {
      session.start();
      // Over VMBus the host speaks first, whenever it likes
      if (opened.via === 'vmbus') this.notifier.ready(`serving ${where}`);
      if (!isTold) this.status.write();
      isTold = true;
      this.log[keeping?.begun ? 'debug' : 'info']('Channel open', { transport: where });
      return await ended;
    } finally {
      session.close();
      if (this.#life.is === 'serving') this.#life = { is: 'between', peer: this.#life.peer };
      if (!this.stop.isRequested) this.#service.disconnected?.();
    }
  }

  /**
   * Leaves the channel to a later life, if there is nothing to do. What comes while this process
   * ends waits in the channel, and starts that life.
   */
  leave(): void {
    const life = this.#life;
    if (life.is !== 'serving' || this.#service.busy === true || !life.session.leave()) return;
    const { session, peer, end } = life;
    const { lastRequestMs } = session;
    this.#life = { is: 'left', peer, lastRequestMs, counters: session.counters() };
    this.status.write();
    this.log.debug('Nothing to do; leaving until the next request');
    end({ reason: 'left' });
  }

  async close(): Promise<void> {
    await this.#service.close();
    this.notifier.close();
    if (!this.#isOnDemand) {
      this.status.remove();
      return;
    }
    // A later life reads who answered, as long as the channel is kept. One that left has written it
    if (this.#life.is !== 'left') this.status.write();
    this.status.close();
  }

  /** Has the service let go of what it holds, because an internal error ends the process. */
  abandon(): void {
    try {
      void this.#service.close();
    } catch {
      // There is an error to tell already
    }
  }

  #createSession({ opened, where, keeping }: ServedChannel, events: SessionEvents): Session {
    const { protocol } = this.program;
    const serving = { service: this.#service, hostLog: this.#hostLog, events, now: monotonicMs };
    if (opened.via === 'vmbus') {
      const extraVersions = this.#extraVersions;
      return createVmbusSession(opened.channel, { protocol, extraVersions, keeping }, serving);
    }
    const codec = protocol.hvUtils;
    if (!codec)
      throw new ConfigError(`transport ${where}: hv_utils has no char device for ${protocol.name}`);
    return createHvUtilsSession(opened.channel, { codec, keeping }, serving);
  }

  /** Notes who is at the other end. Returns whether that is new. */
  #meet(peer: Peer): boolean {
    const life = this.#life;
    if (life.is !== 'serving') return false;
    this.#life = { ...life, peer };
    return JSON.stringify(peer) !== JSON.stringify(life.peer);
  }

  #tell() {
    const details = this.#service.status?.();
    return {
      ...tellLife(this.#life),
      transport: this.#transport,
      onDemand: this.#isOnDemand,
      ...(details === undefined ? {} : { details }),
    };
  }

  get #session(): Session | undefined {
    return this.#life.is === 'serving' ? this.#life.session : undefined;
  }

  #isHealthy(): boolean {
    const since = this.#session?.busySinceMs;
    const longestMs = (this.program.longestRequestSecs ?? LONGEST_REQUEST_SECS) * 1000;
    return since === undefined || monotonicMs() - since < longestMs;
  }

  #listenToSignals(): void {
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
      process.on(signal, () => {
        if (this.stop.isRequested) return;
        this.notifier.stopping();
        this.log.notice('Stopping', { signal });
        this.stop.request();
      });
    }
    // Node's own answer to this signal would be to open a debugger port
    process.on('SIGUSR1', () => {
      this.log.notice('State', {
        ...this.#session?.counters(),
        open: this.#session !== undefined,
        rssBytes: process.memoryUsage.rss(),
      });
    });
  }
}

const describe = (peer: Peer): Record<string, string> =>
  peer.via === 'hv_utils'
    ? { via: peer.via, kernelVersion: peer.versionText }
    : {
        via: peer.via,
        framework: formatVersion(peer.framework),
        messages: formatVersion(peer.message),
      };
