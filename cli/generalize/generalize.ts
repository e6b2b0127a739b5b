import fs from 'node:fs';
import path from 'node:path';
import { PoolError, poolFileName, retryWhileLocked } from '../../daemons/kvp/pools/index.ts';
import type { Native } from '../../native/interface.ts';
import { poolName } from '../../protocol/kvp/pool-names.ts';
import { printable } from '../../runtime/text.ts';
import { CommandError, EXIT } from '../exit.ts';
import { ALL_POOLS } from '../kvp/pool-names.ts';
import type { Surroundings } from '../surroundings.ts';

export interface GeneralizeOptions {
  readonly directory: string;
  readonly dryRun: boolean;
  /** Don't ask. */
  readonly yes: boolean;
  readonly json: boolean;
  /** The daemon runs, so a host may write again at any time. */
  readonly daemonRuns: boolean;
}

type Around = Pick<Surroundings, 'out' | 'err' | 'ask' | 'patience'> & {
  readonly native: Pick<Native, 'tryLock' | 'unlock'>;
};

interface Remainder {
  readonly pool: number;
  readonly path: string;
  readonly sizeBytes: number;
}

/**
 * `vmic generalize`: empties what an image must not carry to the machines that are made of it: the
 * pools, which name the old machine and may hold its secrets. Files, modes and inodes stay.
 */
export async function generalize(around: Around, options: GeneralizeOptions): Promise<number> {
  const { directory, dryRun, json } = options;
  const remainders = ALL_POOLS.flatMap((pool): Remainder[] => {
    const file = path.join(directory, poolFileName(pool));
    const stat = fs.lstatSync(file, { throwIfNoEntry: false });
    if (!stat || stat.size === 0) return [];
    if (!stat.isFile())
      throw new CommandError('system', `${file} is no file: somebody else made it; remove it`);
    return [{ pool, path: file, sizeBytes: stat.size }];
  });
  if (options.daemonRuns) {
    around.err(
      'vmic: vmic-kvp runs: a host may write its values again. Make this the last step ' +
        'before the image is taken.\n',
    );
  }
  const say = (what: string): void => {
    if (json) around.out(`${JSON.stringify({ dryRun, emptied: remainders })}\n`);
    else if (remainders.length === 0) around.out('Nothing is left to be emptied.\n');
    else for (const one of remainders) around.out(`${what} ${describe(one)}\n`);
  };
  if (dryRun || remainders.length === 0) {
    say('would empty');
    return EXIT.ok;
  }
  if (!options.yes) {
    if (!around.ask)
      throw new CommandError(
        'usage',
        'nobody can be asked here: say --yes, or --dry-run to see what would be done',
      );
    for (const one of remainders) around.err(`  ${describe(one)}\n`);
    if (!(await around.ask('Empty these for good?'))) return EXIT.notFound;
  }
  for (const { path: file } of remainders)
    await retryWhileLocked(() => empty(around.native, file), around.patience);
  say('emptied');
  return EXIT.ok;
}

const describe = ({ pool, path: file, sizeBytes }: Remainder): string =>
  `pool ${pool} (${poolName(pool)}): ${sizeBytes} bytes in ${printable(file)}`;

/** Overwritten first, so that secrets are less likely to stay in the image's free blocks. */
function empty(native: Around['native'], file: string): void {
  let fd: number;
  try {
    fd = fs.openSync(file, fs.constants.O_RDWR | fs.constants.O_NOFOLLOW);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new PoolError(code === 'EROFS' ? 'readOnly' : 'io', file, message, error);
  }
  try {
    if (!native.tryLock(fd, 'exclusive'))
      throw new PoolError('locked', file, `${file}: another program holds its lock`);
    const page = Buffer.alloc(64 * 1024);
    const { size } = fs.fstatSync(fd);
    for (let at = 0; at < size; at += page.length)
      fs.writeSync(fd, page, 0, Math.min(page.length, size - at), at);
    fs.fsyncSync(fd);
    fs.ftruncateSync(fd, 0);
    fs.fsyncSync(fd);
  } finally {
    // Its locks go with it
    fs.closeSync(fd);
  }
}
