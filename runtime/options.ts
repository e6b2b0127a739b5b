import type { OptionTable } from './config.ts';
import { transportOption } from './transports/transport.ts';

/**
 * What a daemon is called and how it is configured. `daemons/NAME/options.ts` exports one as
 * `daemon`. The daemon itself, its --help and the manuals are made from it.
 */
export interface DaemonDeclaration<Options extends OptionTable = OptionTable> {
  /** The executable's name, e.g. "vmic-kvp". */
  readonly name: string;
  /** One sentence for --help and the manuals. */
  readonly summary: string;
  /** The daemon's section in the configuration, e.g. "kvp". */
  readonly section: string;
  /** The keys of the section, beside those that the sections of all daemons have. */
  readonly options: Options;
  readonly defaultTransport: string;
}

/** Returns the keys that every daemon's section has. */
export const commonOptions = (defaultTransport: string) =>
  ({
    transport: transportOption(defaultTransport),
    idle_exit_ms: {
      type: 'integer',
      default: 10_000,
      min: 0,
      max: 86_400_000,
      unit: 'milliseconds',
      help:
        'A daemon that its socket unit started leaves when no request has come for this time. ' +
        '0: it stays. The units allow 20 starts a minute.',
    },
  }) as const satisfies OptionTable;

/** Returns all keys of a daemon's section. */
export const sectionOptions = <Options extends OptionTable>({
  options,
  defaultTransport,
}: DaemonDeclaration<Options>) => ({ ...options, ...commonOptions(defaultTransport) });
