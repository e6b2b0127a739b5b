import { parseArgs } from 'node:util';
import { DEFAULT_CONFIG_FILE } from './config.ts';
import { EXIT } from './exit-statuses.ts';
import type { DaemonDeclaration } from './options.ts';
import { TRANSPORT_FORMS } from './transports/transport.ts';
import { daemonExitHelp, keysHelp } from './usage.ts';
import { VERSION } from './version.ts';

export interface CommandLine {
  readonly debug: boolean;
  readonly transport: string | undefined;
  readonly configFile: string | undefined;
  readonly overrides: readonly string[];
  /** The daemon ends when its channel is there, but not in user space. */
  readonly endUnbound: boolean;
}

/**
 * Parses the command line of this process. Answers --help, --version and wrong usage itself, and
 * returns the exit status for them.
 */
export function parseCommandLine(program: DaemonDeclaration): CommandLine | number {
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

const usage = (program: DaemonDeclaration): string => `\
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

${keysHelp(program)}

${daemonExitHelp()}
`;
