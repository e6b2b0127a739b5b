import { runCli } from '../../cli/cli.ts';
import type { Surroundings } from '../../cli/surroundings.ts';
import { loadNative } from '../daemons/kvp/pools/folder.ts';

export const { native, skip } = await loadNative();

export interface Run {
  /** What was printed so far. */
  readonly out: string;
  readonly err: string;
  readonly status: Promise<number>;
  /** Resolves as soon as standard output matches. */
  until(pattern: RegExp): Promise<void>;
}

/** Runs `vmic ARGUMENTS` in this process. */
export function vmic(args: readonly string[], around: Partial<Surroundings> = {}): Run {
  let out = '';
  let err = '';
  let look = (): void => {};
  const status = runCli(args, {
    loadNative: async () => native as NonNullable<typeof native>,
    out: (text) => {
      out += text;
      look();
    },
    err: (text) => {
      err += text;
    },
    outIsTerminal: false,
    readInput: () => {
      throw new Error('must not read standard input');
    },
    simulator: undefined,
    configFile: '/nonexistent/config.toml',
    loadGuards: () => {
      throw new Error('must not freeze');
    },
    ...around,
  });
  return {
    get out() {
      return out;
    },
    get err() {
      return err;
    },
    status,
    until: (pattern) =>
      new Promise((resolve) => {
        look = () => {
          if (pattern.test(out)) resolve();
        };
        look();
      }),
  };
}
