import { parseArgs } from 'node:util';
import type { Native } from '../../native/interface.ts';
import { formatVersion } from '../../protocol/ic/version.ts';
import { ConfigError, DEFAULT_CONFIG_FILE, loadConfig, type OptionTable, type OptionValues } from './config.ts';
import { startHvUtilsSession } from './hv-utils-session.ts';
import { startIcSession } from './ic-session.ts';
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
import type { Session, SessionEnd } from './session.ts';
import {
  formatTransport,
  OpenError,
  openTransport,
  parseTransport,
  settleTransport,
  TRANSPORT_FORMS,
  type Transport,
  transportOption,
} from './transport.ts';
import { VERSION } from './version.ts';

/** Exit statuses; 75 and 78 are sysexits' EX_TEMPFAIL and EX_CONFIG, which systemd shows by name. */
export const EXIT = { ok: 0, failure: 1, usage: 2, unbound: 75, configuration: 78 } as const;

/** A device that is absent or taken is looked for again this often: there is no event for every way it can come back. */
const RETRY_MS = 2000;
/** What a channel that was just bound takes to show its device. */
const BOUND_MS = 100;
/** Sessions that end this soon after their start are not started again at once, or a broken peer would keep a core busy. */
const HEALTHY_SESSION_MS = 1000;
/** A request worked on for longer than this is stuck: the watchdog is no longer fed. */
const STUCK_REQUEST_MS = 60_000;

const logOptions = {
  level: {
    type: 'choice',
    default: 'info',
    choices: Object.keys(SEVERITIES),
    help: 'least severe lines that are logged',
  },
} as const satisfies OptionTable;

/** Runs a daemon from its command line to the end of the process. */
export async function runProgram<Request, Reply extends { readonly status: number }, Options extends OptionTable>(
  program: Program<Request, Reply, Options>,
): Promise<void> {
  const command = parseCommandLine(program);
  if (typeof command === 'number') {
    process.exitCode = command;
    return;
  }
  // libuv's pool has to do with little here (log lines, resolving the host name): fewer idle threads
  process.env['UV_THREADPOOL_SIZE'] ??= '2';
  const log = createLog(program.name, command.debug ? 'debug' : 'info');
  process.on('uncaughtException', (error) => {
    lastWords(program.name, 'critical', `Internal error, please report it: ${error.stack ?? error}`);
    process.exit(EXIT.failure);
  });
  try {
    process.exitCode = await new Daemon(program, command, log).run();
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
    // A thread of libuv's is stuck in a write, and process.exit would wait for it; a signal's own effect does not. systemd takes SIGTERM
    // for a clean end and SIGKILL for a failure.
    const signal = process.exitCode === EXIT.ok ? 'SIGTERM' : 'SIGKILL';
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
  }
  // Not left to an empty event loop: a request that was being worked on may still hold a timer or a child
  process.exit();
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
    process.stderr.write(`${program.name}: ${(error as Error).message}\nTry '${program.name} --help'.\n`);
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
    : { via: peer.via, framework: formatVersion(peer.framework), messages: formatVersion(peer.message) };

/** One daemon's life: configuration, open, READY, serve, and again while the device comes and goes, STOPPING, close. */
class Daemon<Request, Reply extends { readonly status: number }, Options extends OptionTable> {
  readonly #program: Program<Request, Reply, Options>;
  readonly #command: CommandLine;
  readonly #log: RootLog;
  /** One for all sessions: a host that makes us open anew again and again must not get a fresh burst each time. */
  readonly #hostLog: Log;
  #session: Session | undefined;
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
    const { own, transport } = await this.#configure();
    const { native } = await import('../../native/index.ts');
    const notifier = createNotifier(native, process.env, () => this.#healthy());
    this.#listenToSignals(notifier);
    const log = this.#log;
    const service = program.create({ native, options: own, log, hostLog: this.#hostLog, version: VERSION });
    try {
      return await this.#serve(native, service, transport, notifier, program.extraVersions?.(own) ?? []);
    } finally {
      service.close();
      notifier.close();
    }
  }

  async #configure(): Promise<{ own: OptionValues<Options>; transport: Transport }> {
    const program = this.#program;
    const { configFile, overrides, debug } = this.#command;
    const sections = {
      log: logOptions,
      [program.section]: {
        ...program.options,
        transport: transportOption(program.defaultTransport),
      },
    } as const satisfies Record<string, OptionTable>;
    const config = await loadConfig(
      { file: configFile ?? DEFAULT_CONFIG_FILE, required: configFile !== undefined, overrides },
      sections,
    );
    if (!debug) this.#log.setLevel(config['log']!['level'] as Severity);
    const own = config[program.section] as OptionValues<Options> & { transport: string };
    const spec = this.#command.transport ?? own.transport;
    const transport = parseTransport(spec, program.protocol.classId);
    if (typeof transport === 'string') {
      throw new ConfigError(`--transport "${spec}": expected ${transport}`);
    }
    return { own, transport };
  }

  async #serve(
    native: Native,
    service: Service<Request, Reply>,
    transport: Transport,
    notifier: Notifier,
    extraVersions: Parameters<typeof startIcSession>[1]['extraVersions'],
  ): Promise<number> {
    const log = this.#log;
    let waitingFor: string | undefined;
    while (!this.#stopping) {
      const startedMs = monotonicMs();
      let end: SessionEnd;
      try {
        end = await this.#serveOnce(native, service, transport, notifier, extraVersions);
        waitingFor = undefined;
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
        if (message !== waitingFor) log.warning(`Waiting: ${message}`);
        waitingFor = message;
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
          // Not at once: hv_utils takes its char device down only after our close, and an open that falls into that finds freed memory
          // (hvutil_transport_destroy, drivers/hv/hv_utils_transport.c: kfree follows misc_deregister without waiting for misc_open)
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

  /** Opens the channel and serves it until it ends. */
  #serveOnce(
    native: Native,
    service: Service<Request, Reply>,
    transport: Transport,
    notifier: Notifier,
    extraVersions: Parameters<typeof startIcSession>[1]['extraVersions'],
  ): Promise<SessionEnd> {
    const { protocol } = this.#program;
    const settled = settleTransport(transport);
    const opened = openTransport(native, settled);
    const log = this.#log;
    const hostLog = this.#hostLog;
    const where = formatTransport(settled);
    return new Promise((resolve) => {
      const events = {
        connected: (peer: Peer) => {
          service.connected(peer);
          notifier.ready(`serving ${where}`);
          // A host can negotiate as often as it likes
          hostLog.notice('Connected', describe(peer));
        },
        ended: resolve,
      };
      this.#stop = () => resolve({ reason: 'gone' });
      if (opened.via === 'hv_utils') {
        if (!protocol.hvUtils)
          throw new ConfigError(`transport ${where}: hv_utils has no char device for ${protocol.name}`);
        this.#session = startHvUtilsSession(
          opened.channel,
          protocol.hvUtils,
          service,
          { log, hostLog },
          events,
          monotonicMs,
        );
      } else {
        this.#session = startIcSession(
          opened.channel,
          { protocol, extraVersions },
          service,
          { log, hostLog },
          events,
          monotonicMs,
        );
        // Over VMBus the host speaks first, whenever it likes
        notifier.ready(`serving ${where}`);
      }
      log.info('Channel open', { transport: where });
    }).finally(() => {
      this.#session?.close();
      this.#session = undefined;
      if (!this.#stopping) service.disconnected?.();
    }) as Promise<SessionEnd>;
  }

  #healthy(): boolean {
    const since = this.#session?.busySinceMs;
    return since === undefined || monotonicMs() - since < STUCK_REQUEST_MS;
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
      this.#log.notice('State', { ...this.#session?.counters(), open: this.#session !== undefined, rssBytes: memory });
    });
  }
}
