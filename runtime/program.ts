import fs from 'node:fs';
import path from 'node:path';
import { assemble } from './assemble.ts';
import { type CommandLine, parseCommandLine } from './command-line.ts';
import { ConfigError, type OptionTable } from './config.ts';
import type { Daemon } from './daemon.ts';
import { EXIT } from './exit-statuses.ts';
import { lastWords } from './log/last-words.ts';
import { createLog, type RootLog } from './log.ts';
import { serveOnDemand } from './on-demand.ts';
import { serveOwnChannel } from './own-channel.ts';
import type { Program } from './service.ts';
import { loadSettings } from './settings.ts';
import { identify, listenFds } from './transports/inherited.ts';
import { OpenError } from './transports/transport.ts';

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
  // libuv's pool has little to do here (log lines, resolving the host name): fewer idle threads
  process.env['UV_THREADPOOL_SIZE'] ??= '2';
  const log = createLog(program.name, command.debug ? 'debug' : 'info');
  try {
    process.exitCode = await live(program, command, log);
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
    // A thread of libuv's is stuck in a write. process.exit would wait for it, but the effect of a
    // signal does not. systemd takes SIGTERM for a clean end and SIGKILL for a failure.
    const signal = process.exitCode === EXIT.ok ? 'SIGTERM' : 'SIGKILL';
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
  }
  // Not left to an empty event loop, because a request that the service still works on may hold a
  // timer or a child
  process.exit();
}

/** One life: configuration, the service, its channel, and the end. Resolves to the exit status. */
async function live<
  Request,
  Reply extends { readonly status: number },
  Options extends OptionTable,
>(program: Program<Request, Reply, Options>, command: CommandLine, log: RootLog): Promise<number> {
  let daemon: Daemon<Request, Reply> | undefined;
  process.on('uncaughtException', (error) => {
    // First, since words can't be written where the service holds the disk
    daemon?.abandon();
    const what = error.stack ?? error;
    lastWords(program.name, 'critical', `Internal error, please report it: ${what}`);
    process.exit(EXIT.failure);
  });
  const handedOver = listenFds(process.env);
  const settings = await loadSettings(program, command);
  log.setLevel(settings.logLevel);
  const { transport } = settings;
  const { native } = await import('../native/index.ts');
  const inherited =
    handedOver.length > 0 ? identify(handedOver, transport, program.protocol.classId) : undefined;
  daemon = assemble(program, { native, log, settings, inherited });
  try {
    return inherited
      ? await serveOnDemand(daemon, inherited, settings.idleExitMs)
      : await serveOwnChannel(daemon, transport, command.endUnbound);
  } finally {
    await daemon.close(inherited ? 'kept' : 'own');
  }
}

/**
 * From about 22 on Node.js names its process "MainThread" for ps, pgrep and systemd. The process
 * gets back the name of the file it was started as, so that tools which look for hv_kvp_daemon find
 * it.
 */
function takeFileName(): void {
  try {
    fs.writeFileSync('/proc/self/comm', path.basename(process.argv[1] ?? ''));
  } catch {
    // A system without /proc has nobody who looks there
  }
}
