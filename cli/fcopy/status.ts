import {
  type CopyStatus,
  type FcopyStatus,
  RESULTS,
  readStatus,
} from '../../daemons/fcopy/status.ts';
import { isAlive, uptimeSecs } from '../../runtime/status/status-file.ts';
import { printable } from '../../runtime/text.ts';
import { EXIT } from '../exit.ts';
import { type DaemonSurroundings, sleeps } from '../status/daemon-state.ts';
import { readStatusFile } from '../status/read-status.ts';
import type { Surroundings } from '../surroundings.ts';

/**
 * Prints what the daemon of file copy said last; "not found" when it neither runs nor will when a
 * host copies something.
 */
export async function fcopyStatus(
  around: Pick<Surroundings, 'out'> & DaemonSurroundings,
  file: string,
  json: boolean,
): Promise<number> {
  const status = readStatusFile(file, readStatus);
  const running = status !== undefined && isAlive(status.process);
  const asleep = !running && (await sleeps(around, 'fcopy'));
  const nowSecs = uptimeSecs();
  if (json)
    around.out(`${JSON.stringify({ running, asleep, nowUptimeSecs: nowSecs, ...status })}\n`);
  else {
    const now = running ? describe(status, nowSecs) : asleep ? ASLEEP : NOT_RUNNING;
    around.out(`${now}${status ? results(status, nowSecs) : ''}`);
  }
  return running || asleep ? EXIT.ok : EXIT.notFound;
}

const NOT_RUNNING = 'vmic-fcopy does not run: hosts can copy no files into this guest.\n';
const ASLEEP = 'Process  none: a host that copies a file starts it\n';

function describe(status: FcopyStatus, nowSecs: number): string {
  const { process, peer, copy, counters } = status;
  const count = (name: string): number => counters[name] ?? 0;
  const rows: [string, string][] = [
    [
      'Process',
      `${process.pid}${peer === undefined ? ', no host has called yet' : `, messages ${peer}`}`,
    ],
    ['Now', copy ? progress(copy, nowSecs - copy.startedUptimeSecs) : 'nothing is being copied'],
    [
      'So far',
      `${count('started')} begun: ${count('copied')} copied (${size(count('bytes'))}), ` +
        `${count('refused')} refused, ${count('failed')} not finished`,
    ],
  ];
  return table(rows);
}

function results({ last }: FcopyStatus, nowSecs: number): string {
  const rows = last.map(
    ({ result, reason, endedUptimeSecs, seconds, ...one }, i): [string, string] => {
      const ago = `${Math.max(0, Math.round(nowSecs - endedUptimeSecs))} s ago`;
      const words = `${RESULTS[result] ?? result}${reason === undefined ? '' : `: ${reason}`}`;
      const how = result === 'copied' ? `${size(one.sizeBytes)} in ${seconds.toFixed(1)} s` : words;
      return [i === 0 ? 'Last' : '', `${one.target}: ${how} (${ago})`];
    },
  );
  return table(rows);
}

const table = (rows: readonly (readonly [string, string])[]): string =>
  rows.map(([name, value]) => `${name.padEnd(8)} ${printable(value)}\n`).join('');

function progress({ target, sizeBytes, receivedBytes }: CopyStatus, seconds: number): string {
  const percent = sizeBytes === 0 ? 100 : Math.floor((100 * receivedBytes) / sizeBytes);
  return (
    `${target}: ${size(receivedBytes)} of ${size(sizeBytes)} (${percent} %) in ` +
    `${Math.max(0, seconds).toFixed(1)} s`
  );
}

const UNITS = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

function size(bytes: number): string {
  const power = Math.min(UNITS.length - 1, Math.floor(Math.log2(Math.max(1, bytes)) / 10));
  return power === 0 ? `${bytes} bytes` : `${(bytes / 1024 ** power).toFixed(1)} ${UNITS[power]}`;
}
