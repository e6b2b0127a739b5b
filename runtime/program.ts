import fs from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import type { Native } from '../native/interface.ts';
import { formatVersion, type Version } from '../protocol/ic/version.ts';
import {
  ConfigError,
  DEFAULT_CONFIG_FILE,
  loadConfig,
  type OptionTable,
  type OptionValues,
} from './config.ts';
import {
  createLog,
  type Log,
  lastWords,
  limitLog,
  monotonicMs,
  type RootLog,
  SEVERITIES,
  type Severity,
} from './log.ts';
import { createNotifier, type Notifier } from './notify.ts';
import type { Peer, Program, Service } from './service.ts';
import { startHvUtilsSession } from './sessions/hvutils.ts';
import type { Keeping, Session, SessionEnd } from './sessions/session.ts';
import { startIcSession } from './sessions/vmbus.ts';
import {
  readPeer,
  runtimeDirectory,
  type ServiceStatus,
  StatusPublisher,
} from './status/status.ts';
import { adoptTransport, type Inherited, identify, listenFds } from './transports/inherited.ts';
import {
  commonOptions,
  formatTransport,
  type OpenChannel,
  OpenError,
  openTransport,
  parseTransport,
  settleTransport,
  TRANSPORT_FORMS,
  type Transport,
} from './transports/transport.ts';
import { VERSION } from './version.ts';

/**
 * Exit statuses; 75 and 78 are sysexits' EX_TEMPFAIL and EX_CONFIG, which systemd shows by name.
 */
export const EXIT = { ok: 0, failure: 1, usage: 2, unbound: 75, configuration: 78 } as const;

/**
 * A device that is absent or taken is looked for again this often: there is no event for every way
 * it can come back.
 */
const RETRY_MS = 2000;
/** What a channel that was just bound takes to show its device. */
const BOUND_MS = 100;
/**
 * Sessions that end this soon after their start are not started again at once, or a broken peer
 * would keep a core busy.
 */
const HEALTHY_SESSION_MS = 1000;
/**
 * A request worked on for longer than this is stuck, unless a program knows better: the watchdog is
 * no longer fed.
 */
const LONGEST_REQUEST_SECS = 60;

const logOptions = {
  level: {
    type: 'choice',
    default: 'info',
    choices: Object.keys(SEVERITIES),
    help: 'least severe lines that are logged',
  },
} as const satisfies OptionTable;

/** Runs a daemon from its command line to the end of the process. */
export async function runProgram<
  Request,
  Reply extends { readonly status: number },
  Options extends OptionTable,
>(program: Program<Request, Reply, Options>): Promise<void> {
  const command = parseCommandLine(program);
  if (typeof command === 'number') {
    process.exitCode = command;
    return;
  }
  takeFileName();
  // libuv's pool has to do with little here (log lines, resolving the host name): fewer idle
  // threads
  process.env['UV_THREADPOOL_SIZE'] ??= '2';
  const log = createLog(program.name, command.debug ? 'debug' : 'info');
  const daemon = new Daemon(program, command, log);
  process.on('uncaughtException', (error) => {
    // First, since words can't be written where the service holds the disk
    daemon.abandon();
    lastWords(
      program.name,
      'critical',
      `Internal error, please report it: ${error.stack ?? error}`,
    );
    process.exit(EXIT.failure);
  });
  try {
    process.exitCode = await daemon.run();
  } catch (error) {
    if (error instanceof ConfigError) {
      log.error(`The configuration can't be used: ${error.message}`);
      process.exitCode = EXIT.configuration;
    } else if (error instanceof OpenError) {
      log.error(error.message);
      process.exitCode = EXIT.failure;
    } else throw error;
  }
  if (!(await log.close())) {
    // A thread of libuv's is stuck in a write, and process.exit would wait for it; a signal's own
    // effect does not. systemd takes SIGTERM for a clean end and SIGKILL for a failure.
    const signal = process.exitCode === EXIT.ok ? 'SIGTERM' : 'SIGKILL';
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
  }
  // Not left to an empty event loop: a request that was being worked on may still hold a timer or a
  // child
  process.exit();
}

/**
 * From about 22 on Node.js names its process "MainThread" for ps, pgrep and systemd. It gets back
 * the name of the file it was started as, so that tools which look for hv_kvp_daemon find it.
 */
function takeFileName(): void {
  try {
    fs.writeFileSync('/proc/self/comm', path.basename(process.argv[1] ?? ''));
  } catch {
    // A system without /proc has nobody who looks there
  }
}

interface CommandLine {
  readonly debug: boolean;
  readonly transport: string | undefined;
  readonly configFile: string | undefined;
  readonly overrides: readonly string[];
  readonly endUnbound: boolean;
}

function parseCommandLine(program: {
  readonly name: string;
  readonly summary: string;
  readonly defaultTransport: string;
}): CommandLine | number {
  let values: ReturnType<typeof parse>;
  try {
    values = parse();
  } catch (error) {
    process.stderr.write(
      `${program.name}: ${(error as Error).message}\nTry '${program.name} --help'.\n`,
    );
    return EXIT.usage;
  }
  if (values.help) {
    process.stdout.write(usage(program));
    return EXIT.ok;
  }
  if (values.version) {
    process.stdout.write(`${program.name} ${VERSION}\n`);
    return EXIT.ok;
  }
  return {
    debug: values.debug,
    transport: values.transport,
    configFile: values.config,
    overrides: values.set,
    endUnbound: values['end-unbound'],
  };
}

const parse = () =>
  parseArgs({
    strict: true,
    options: {
      'no-daemon': { type: 'boolean', short: 'n', default: false },
      debug: { type: 'boolean', short: 'd', default: false },
      help: { type: 'boolean', short: 'h', default: false },
      version: { type: 'boolean', short: 'V', default: false },
      transport: { type: 'string' },
      config: { type: 'string' },
      set: { type: 'string', multiple: true, default: [] },
      'end-unbound': { type: 'boolean', default: false },
    },
  }).values;

const usage = (program: {
  readonly name: string;
  readonly summary: string;
  readonly defaultTransport: string;
}): string => `\
Usage: ${program.name} [OPTION]...
${program.summary}
It stays in the foreground and logs to standard error.

  -n, --no-daemon      accepted for compatibility; there is no other way
  -d, --debug          log everything
      --transport SPEC where the channel is (default ${program.defaultTransport}):
                       ${TRANSPORT_FORMS}
      --config FILE    read FILE and FILE.d/*.toml instead of ${DEFAULT_CONFIG_FILE}
      --set KEY=VALUE  override one key of the configuration, e.g. log.level=debug; repeatable
      --end-unbound    end when the channel is there but not in user space, for
                       units that bind it before each start (vmic bind)
  -V, --version        print the version
  -h, --help           print this help

Exit status: 0 stopped on request, 1 failure, 2 wrong usage, 75 channel not in
user space (--end-unbound), 78 wrong configuration.
`;

const describe = (peer: Peer): Record<string, string> =>
  peer.via === 'hv_utils'
    ? { via: peer.via, kernelVersion: peer.versionText }
    : {
        via: peer.via,
        framework: formatVersion(peer.framework),
        messages: formatVersion(peer.message),
      };

/**
 * One daemon's life: configuration, open, READY, serve, and again while the device comes and goes,
 * STOPPING, close.
 */
class Daemon<Request, Reply extends { readonly status: number }, Options extends OptionTable> {
  readonly #program: Program<Request, Reply, Options>;
  readonly #command: CommandLine;
  readonly #log: RootLog;
  /**
   * One for all sessions: a host that makes us open anew again and again must not get a fresh burst
   * each time.
   */
  readonly #hostLog: Log;
  #session: Session | undefined;
  #service: Service<Request, Reply> | undefined;
  #status: StatusPublisher | undefined;
  #state: ServiceStatus['state'] = 'waiting';
  #waitingFor: string | undefined;
  #peer: Peer | undefined;
  #inherited: Inherited | undefined;
  /** Messages so far, to tell whether there were any since. */
  #messages = 0;
  /** Wakes whatever `run` waits for. */
  #stop: () => void = () => {};
  #stopping = false;

  constructor(program: Program<Request, Reply, Options>, command: CommandLine, log: RootLog) {
    this.#program = program;
    this.#command = command;
    this.#log = log;
    this.#hostLog = limitLog(log);
  }

  async run(): Promise<number> {
    const program = this.#program;
    const handedOver = listenFds(process.env);
    const { own, transport, idleExitMs } = await this.#configure();
    const { native } = await import('../native/index.ts');
    if (handedOver.length > 0)
      this.#inherited = identify(handedOver, transport, program.protocol.classId);
    const notifier = createNotifier(native, process.env, () => this.#healthy());
    this.#listenToSignals(notifier);
    const log = this.#log;
    const context = {
      native,
      options: own,
      log,
      hostLog: this.#hostLog,
      logHold: log,
      // The last word of one that left has been written while its session was there
      publishStatus: () => {
        if (this.#state !== 'left') this.#status?.write();
      },
      version: VERSION,
    };
    const service = program.create(context);
    this.#service = service;
    this.#status = new StatusPublisher(runtimeDirectory(process.env), program.protocol.name, {
      log,
      now: monotonicMs,
      tell: () => this.#tell(transport),
      isHeld: () => log.isHeld,
      place: program.statusPlace?.(own),
    });
    const extraVersions = program.extraVersions?.(own) ?? [];
    try {
      return this.#inherited
        ? await this.#serveInherited(native, this.#inherited, notifier, extraVersions, idleExitMs)
        : await this.#serve(native, transport, notifier, extraVersions);
    } finally {
      await service.close();
      notifier.close();
      // What an earlier life agreed on is of use as long as the channel is kept
      if (this.#inherited) {
        if (this.#state !== 'left') this.#status.write();
        this.#status.close();
      } else this.#status.remove();
    }
  }

  /** The process is about to end on an internal error: what the service holds is let go of. */
  abandon(): void {
    try {
      void this.#service?.close();
    } catch {
      // There is an error to tell already
    }
  }

  #tell(configured: Transport) {
    const details = this.#service?.status?.();
    return {
      state: this.#state,
      transport: formatTransport(this.#inherited?.transport ?? configured),
      onDemand: this.#inherited !== undefined,
      ...(this.#waitingFor === undefined ? {} : { waitingFor: this.#waitingFor }),
      ...(this.#peer === undefined ? {} : { peer: this.#peer }),
      lastRequestMs: this.#session?.lastRequestMs,
      counters: this.#session?.counters() ?? {},
      ...(details === undefined ? {} : { details }),
    };
  }

  async #configure(): Promise<{
    own: OptionValues<Options>;
    transport: Transport;
    idleExitMs: number;
  }> {
    const program = this.#program;
    const { configFile, overrides, debug } = this.#command;
    const sections = {
      log: logOptions,
      [program.section]: {
        ...program.options,
        ...commonOptions(program.defaultTransport),
      },
    } as const satisfies Record<string, OptionTable>;
    const config = await loadConfig(
      { file: configFile ?? DEFAULT_CONFIG_FILE, required: configFile !== undefined, overrides },
      sections,
    );
    if (!debug) this.#log.setLevel(config['log']!['level'] as Severity);
    const own = config[program.section] as OptionValues<Options> & {
      transport: string;
      idle_exit_ms: number;
    };
    const spec = this.#command.transport ?? own.transport;
    const transport = parseTransport(spec, program.protocol.classId);
    if (typeof transport === 'string') {
      throw new ConfigError(`--transport "${spec}": expected ${transport}`);
    }
    return { own, transport, idleExitMs: own.idle_exit_ms };
  }

  /**
   * One life on a channel that somebody else keeps: until there is nothing to do, or the channel is
   * gone.
   */
  async #serveInherited(
    native: Native,
    inherited: Inherited,
    notifier: Notifier,
    extraVersions: readonly Version[],
    idleExitMs: number,
  ): Promise<number> {
    const log = this.#log;
    const { fd, transport } = inherited;
    let opened: OpenChannel;
    try {
      opened = adoptTransport(native, inherited);
    } catch (error) {
      throw error instanceof OpenError
        ? error
        : new OpenError(`${formatTransport(transport)}: ${(error as Error).message}`, false, error);
    }
    const begun = native.isMarked(fd);
    const file = this.#status!.file;
    const keeping: Keeping = {
      begun,
      // A channel that is fresh has had no life before, whatever the file tells
      peer: begun && file !== undefined ? readPeer(file, this.#program.protocol.name) : undefined,
      begin: () => native.mark(fd),
    };
    const end = this.#serveOnce(
      opened,
      formatTransport(transport),
      notifier,
      extraVersions,
      keeping,
    );
    if (begun) notifier.ready(`serving ${formatTransport(transport)} on demand`);
    const idle = idleExitMs > 0 ? this.#leaveWhenIdle(idleExitMs) : undefined;
    const { reason, ...why } = await end;
    clearInterval(idle);
    if (this.#stopping || this.#state === 'left') return EXIT.ok;
    if (reason === 'failed') {
      log.critical(
        'The channel is broken; it has to be opened anew by restarting the socket unit',
        why,
      );
      return EXIT.failure;
    }
    log.notice('The device went away; ending, to be started with the next one', why);
    return EXIT.ok;
  }

  /** Between one and two such times after the last message: nothing is asked for with each one. */
  #leaveWhenIdle(idleExitMs: number): NodeJS.Timeout {
    let seen = this.#messages;
    return setInterval(() => {
      const isIdle = seen === this.#messages && this.#service?.busy !== true;
      seen = this.#messages;
      // From here on nothing is read any more: what comes while this process ends waits, and starts
      // the next
      if (!isIdle || !this.#session?.leave()) return;
      this.#state = 'left';
      this.#status?.write();
      this.#log.debug('Nothing to do; leaving until the next request');
      this.#stop();
    }, idleExitMs);
  }

  async #serve(
    native: Native,
    transport: Transport,
    notifier: Notifier,
    extraVersions: readonly Version[],
  ): Promise<number> {
    const log = this.#log;
    while (!this.#stopping) {
      const startedMs = monotonicMs();
      let end: SessionEnd;
      try {
        const settled = settleTransport(transport);
        const opened = openTransport(native, settled);
        this.#waitingFor = undefined;
        end = await this.#serveOnce(opened, formatTransport(settled), notifier, extraVersions);
      } catch (error) {
        if (!(error instanceof OpenError) || !error.waitable) throw error;
        if (error.unbound && this.#command.endUnbound) {
          log.notice(`Ending, to be started afresh: ${error.message}`);
          return EXIT.unbound;
        }
        let message = error.message;
        if (error.unbound && this.#program.bind) {
          const problem = await this.#program.bind(log).catch((why: Error) => why.message);
          if (problem === undefined) {
            await this.#pause(BOUND_MS);
            continue;
          }
          message += `; it can't be bound from here: ${problem}`;
        }
        if (message !== this.#waitingFor) log.warning(`Waiting: ${message}`);
        this.#isWaiting(message);
        // Ready all the same: boot must not wait for a device that may never come
        notifier.ready(`waiting: ${message}`);
        await this.#pause(RETRY_MS);
        continue;
      }
      if (this.#stopping) break;
      switch (end.reason) {
        case 'failed':
          log.critical('The channel is broken; ending, to be started afresh', { error: end.error });
          return EXIT.failure;
        case 'gone':
          log.notice('The device went away; waiting for it to come back');
          notifier.status('device gone; waiting');
          this.#isWaiting('the device to come back');
          // Not at once: hv_utils takes its char device down only after our close, and an open that
          // falls into that finds freed memory (hvutil_transport_destroy,
          // drivers/hv/hv_utils_transport.c: kfree follows misc_deregister without waiting for
          // misc_open)
          await this.#pause(RETRY_MS);
          break;
        case 'reopen':
          log.notice('Opening the device anew', { why: end.why });
          if (monotonicMs() - startedMs < HEALTHY_SESSION_MS) await this.#pause(RETRY_MS);
          break;
      }
    }
    return EXIT.ok;
  }

  #isWaiting(what: string): void {
    if (this.#state === 'waiting' && this.#waitingFor === what) return;
    this.#state = 'waiting';
    this.#waitingFor = what;
    this.#peer = undefined;
    this.#status?.write();
  }

  /** Serves an open channel until it ends. */
  #serveOnce(
    opened: OpenChannel,
    where: string,
    notifier: Notifier,
    extraVersions: readonly Version[],
    keeping?: Keeping,
  ): Promise<SessionEnd> {
    const { protocol } = this.#program;
    const service = this.#service!;
    const log = this.#log;
    const hostLog = this.#hostLog;
    return new Promise((resolve) => {
      const events = {
        connected: (peer: Peer) => {
          service.connected(peer);
          const isNews =
            this.#state !== 'serving' || JSON.stringify(peer) !== JSON.stringify(this.#peer);
          this.#state = 'serving';
          this.#peer = peer;
          // At once, also for a later life; but a host can negotiate as often as it likes
          if (isNews) this.#status?.write();
          notifier.ready(`serving ${where}`);
          // A host can negotiate as often as it likes
          hostLog[keeping?.begun ? 'debug' : 'notice']('Connected', describe(peer));
        },
        traffic: () => {
          this.#messages++;
          this.#status?.traffic();
        },
        ended: resolve,
      };
      this.#stop = () => resolve({ reason: 'gone' });
      if (opened.via === 'hv_utils') {
        if (!protocol.hvUtils)
          throw new ConfigError(
            `transport ${where}: hv_utils has no char device for ${protocol.name}`,
          );
        this.#session = startHvUtilsSession(
          opened.channel,
          protocol.hvUtils,
          service,
          { hostLog },
          events,
          monotonicMs,
          keeping,
        );
      } else {
        this.#session = startIcSession(
          opened.channel,
          { protocol, extraVersions },
          service,
          { hostLog },
          events,
          monotonicMs,
          keeping,
        );
        // Over VMBus the host speaks first, whenever it likes
        notifier.ready(`serving ${where}`);
      }
      if (this.#state !== 'serving') {
        this.#state = 'serving';
        this.#status?.write();
      }
      log[keeping?.begun ? 'debug' : 'info']('Channel open', { transport: where });
    }).finally(() => {
      this.#session?.close();
      this.#session = undefined;
      if (!this.#stopping) service.disconnected?.();
    }) as Promise<SessionEnd>;
  }

  #healthy(): boolean {
    const since = this.#session?.busySinceMs;
    const longestMs = (this.#program.longestRequestSecs ?? LONGEST_REQUEST_SECS) * 1000;
    return since === undefined || monotonicMs() - since < longestMs;
  }

  #pause(ms: number): Promise<void> {
    if (this.#stopping) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#stop = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  #listenToSignals(notifier: Notifier): void {
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
      process.on(signal, () => {
        if (this.#stopping) return;
        this.#stopping = true;
        notifier.stopping();
        this.#log.notice('Stopping', { signal });
        this.#stop();
      });
    }
    // Node's own answer to this signal would be to open a debugger port
    process.on('SIGUSR1', () => {
      const memory = process.memoryUsage.rss();
      this.#log.notice('State', {
        ...this.#session?.counters(),
        open: this.#session !== undefined,
        rssBytes: memory,
      });
    });
  }
}
