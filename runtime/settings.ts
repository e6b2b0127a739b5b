import type { CommandLine } from './command-line.ts';
import {
  ConfigError,
  DEFAULT_CONFIG_FILE,
  loadConfig,
  type OptionTable,
  type OptionValues,
} from './config.ts';
import type { Severity } from './log/severity.ts';
import { logOptions } from './log-options.ts';
import { sectionOptions } from './options.ts';
import type { Program } from './service.ts';
import { parseTransport, type Transport } from './transports/transport.ts';

/** What configuration and command line come to for one daemon. */
export interface Settings<Options extends OptionTable> {
  /** The service's own keys. */
  readonly own: OptionValues<Options>;
  readonly logLevel: Severity;
  readonly transport: Transport;
  /** How long a daemon on demand stays without a request; 0: for ever. */
  readonly idleExitMs: number;
}

/** Reads the configuration; what the command line says goes first. Throws ConfigError. */
export async function loadSettings<
  Request,
  Reply extends { readonly status: number },
  Options extends OptionTable,
>(program: Program<Request, Reply, Options>, command: CommandLine): Promise<Settings<Options>> {
  const { configFile, overrides, debug } = command;
  const sections = {
    log: logOptions,
    [program.section]: sectionOptions<OptionTable>(program),
  } as const satisfies Record<string, OptionTable>;
  const config = await loadConfig(
    { file: configFile ?? DEFAULT_CONFIG_FILE, required: configFile !== undefined, overrides },
    sections,
  );
  const own = config[program.section] as OptionValues<Options> & {
    transport: string;
    idle_exit_ms: number;
  };
  const spec = command.transport ?? own.transport;
  const transport = parseTransport(spec, program.protocol.classId);
  if (typeof transport === 'string')
    throw new ConfigError(`--transport "${spec}": expected ${transport}`);
  const logLevel = debug ? 'debug' : (config['log']!['level'] as Severity);
  return { own, logLevel, transport, idleExitMs: own.idle_exit_ms };
}
