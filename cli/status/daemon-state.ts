import path from 'node:path';
import type { ServiceName } from '../../protocol/ic/classes.ts';
import {
  DEFAULT_RUNTIME_DIRECTORY,
  readServiceStatus,
  type ServiceStatus,
  statusFile,
} from '../../runtime/status/status.ts';
import { isAlive } from '../../runtime/status/status-file.ts';
import { socketInstance, socketUnit } from './units.ts';

/** What finding out about one daemon needs of the surroundings. */
export interface DaemonSurroundings {
  /** Where the file system begins; "/" but in tests. */
  readonly root?: string;
  /** Runs a program to its end and gives its output; undefined when it can't be run or fails. */
  run?(program: string, args: readonly string[]): Promise<string | undefined>;
}

/** What a daemon says of itself; undefined: nothing that can be read. */
function statusOf(
  { root = '/' }: DaemonSurroundings,
  service: ServiceName,
): ServiceStatus | undefined {
  try {
    return readServiceStatus(
      statusFile(path.join(root, DEFAULT_RUNTIME_DIRECTORY), service),
      service,
    );
  } catch {
    return undefined;
  }
}

export function runs(around: DaemonSurroundings, service: ServiceName): boolean {
  const status = statusOf(around, service);
  return status !== undefined && isAlive(status.process);
}

/**
 * It has left, and its socket unit, which has the channel, starts it with the next request. Without
 * systemd its last word has to do.
 */
export async function sleeps(around: DaemonSurroundings, service: ServiceName): Promise<boolean> {
  const status = statusOf(around, service);
  if (!status?.onDemand || status.state !== 'left') return false;
  const states = await around.run?.('systemctl', [
    'show',
    '--no-pager',
    '-p',
    'ActiveState',
    '--value',
    socketUnit(service),
    socketInstance(service, '*'),
  ]);
  return states === undefined || /^active$/m.test(states);
}
