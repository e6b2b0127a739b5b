import { setTimeout as sleep } from 'node:timers/promises';
import { Freezer } from '../../daemons/vss/freeze/freezer.ts';
import { readStatus } from '../../daemons/vss/freeze/status.ts';
import {
  LinuxFreezer,
  PLACES,
  policyOf,
  type VssOptions,
} from '../../daemons/vss/freeze/system.ts';
import { isAlive } from '../../runtime/status/status-file.ts';
import { printable } from '../../runtime/text.ts';
import { CommandError, EXIT } from '../exit.ts';
import { readStatusFile } from '../status/read-status.ts';
import type { Surroundings } from '../surroundings.ts';
import { heldLog } from './held-log.ts';

/** How long a guard that was told to stop may take. */
const GUARD_END_MS = 15_000;

/** `vmic vss thaw` */
export async function thawNow(
  around: Pick<Surroundings, 'out' | 'err' | 'loadGuards' | 'places'>,
  options: VssOptions,
  {
    force,
    lastResort,
    json,
  }: { readonly force: boolean; readonly lastResort: boolean; readonly json: boolean },
): Promise<number> {
  const current = readStatusFile(options.status_file, readStatus)?.current;
  const underWay = current !== undefined && isAlive(current.process);
  // Somebody sees to it
  if (lastResort && underWay) return EXIT.ok;
  if (underWay) {
    if (current.by === 'host' && !force) {
      throw new CommandError(
        'busy',
        'a backup of the host is under way, and would be spoilt: the service thaws in time ' +
          'by itself; --force thaws now all the same',
      );
    }
    if (current.guard === undefined || !isAlive(current.guard)) {
      throw new CommandError(
        'busy',
        'nothing is frozen at this moment; a freeze is about to begin, or has just ended',
      );
    }
    try {
      process.kill(current.guard.pid, 'SIGTERM');
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (code !== 'ESRCH')
        throw new CommandError(code === 'EPERM' ? 'permission' : 'system', message);
    }
    for (let leftMs = GUARD_END_MS; isAlive(current.guard); leftMs -= 20) {
      if (leftMs <= 0)
        throw new CommandError('system', `the guard (process ${current.guard.pid}) does not end`);
      await sleep(20);
    }
    around.out(
      json
        ? `${JSON.stringify({ thawed: current.mountPoints })}\n`
        : thawedLine(current.mountPoints),
    );
    return EXIT.ok;
  }
  const ports = new LinuxFreezer(options, await around.loadGuards(), around.places ?? PLACES);
  const freezer = new Freezer({
    ports,
    policy: policyOf(options),
    ...heldLog(around),
    by: 'command',
  });
  const recovery = await freezer.recover(current);
  if (json) around.out(`${JSON.stringify(recovery)}\n`);
  else if (recovery.thawed.length > 0 || !lastResort) around.out(thawedLine(recovery.thawed));
  if (!recovery.complete)
    throw new CommandError('system', recovery.problem ?? 'something is still frozen');
  return EXIT.ok;
}

const thawedLine = (mountPoints: readonly string[]): string =>
  mountPoints.length > 0
    ? `Thawed: ${mountPoints.map(printable).join(', ')}\n`
    : 'Nothing was frozen by vmic.\n';
