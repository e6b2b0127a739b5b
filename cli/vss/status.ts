import { readStatus, type VssStatus } from '../../daemons/vss/freeze/status.ts';
import type { VssOptions } from '../../daemons/vss/freeze/system.ts';
import { isAlive } from '../../runtime/status/status-file.ts';
import { printable } from '../../runtime/text.ts';
import { EXIT } from '../exit.ts';
import { type DaemonSurroundings, sleeps } from '../status/daemon-state.ts';
import { readStatusFile } from '../status/read-status.ts';
import type { Surroundings } from '../surroundings.ts';
import { describeRecord } from './record.ts';

/**
 * `vmic vss status`; "not found" when the service neither runs nor will with a host's next request.
 */
export async function vssStatus(
  around: Pick<Surroundings, 'out'> & DaemonSurroundings,
  options: VssOptions,
  json: boolean,
): Promise<number> {
  const status = readStatusFile(options.status_file, readStatus);
  const running = status?.daemon !== undefined && isAlive(status.daemon);
  const asleep = !running && (await sleeps(around, 'vss'));
  const { current } = status ?? {};
  const underWay = current !== undefined && isAlive(current.process);
  if (json) around.out(`${JSON.stringify({ running, asleep, underWay, ...status })}\n`);
  else {
    const life = running
      ? `runs, process ${status?.daemon?.pid}`
      : asleep
        ? ASLEEP
        : 'does not run';
    around.out(describeStatus(status, life, underWay));
  }
  return running || asleep ? EXIT.ok : EXIT.notFound;
}

const ASLEEP = "has no process: a host's request starts it";

function describeStatus(status: VssStatus | undefined, life: string, underWay: boolean): string {
  const { current, freezes = [] } = status ?? {};
  const lines = [`Service      ${life}`];
  if (current === undefined) lines.push('Now          nothing is frozen by it');
  else {
    const who = current.by === 'host' ? 'the host' : 'a command';
    const what = `for ${who} since ${current.at}: ${current.mountPoints.map(printable).join(', ')}`;
    lines.push(
      underWay
        ? `Now          a freeze ${what}`
        : `INTERRUPTED  a freeze ${what}; "vmic vss thaw" clears up`,
    );
  }
  if (freezes.length === 0) lines.push('Last         no freeze since the system was started');
  for (const record of freezes) lines.push('', describeRecord(record).trimEnd());
  return `${lines.join('\n')}\n`;
}
