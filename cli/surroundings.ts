import type { Patience } from '../daemons/kvp/pools/index.ts';
import type { Guards, Places } from '../daemons/vss/freeze/system.ts';
import type { Native } from '../native/interface.ts';
import type { DaemonSurroundings } from './status/daemon-state.ts';

/** What the commands need of the process around them. A command names the part that it uses. */
export interface Surroundings extends DaemonSurroundings {
  out(text: string): void;
  err(text: string): void;
  /** Output goes to a terminal, which hostile text must not control. */
  readonly outIsTerminal: boolean;
  readInput(): Promise<Buffer>;
  /** Asks a person. Undefined if there is nobody to ask. */
  readonly ask?: (question: string) => Promise<boolean>;
  /** Loads the addon. Only commands that need it call this, so help works without the addon. */
  loadNative(): Promise<Native>;
  loadGuards(): Promise<Guards>;
  /** The program that plays a host. Only a development tree has it, beside this program. */
  readonly simulator: string | undefined;
  /** The daemons' configuration, which may name another folder for the pools. */
  readonly configFile: string;
  /** Where sysfs is. Tests set it; the default is /sys. */
  readonly sysfs?: string;
  /** Where a freeze finds what it looks at. Tests set it. */
  readonly places?: Places;
  /**
   * How long a command waits for another program's lock. By default as long as the daemon waits.
   */
  readonly patience?: Patience;
}
