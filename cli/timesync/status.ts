import {
  isAlive,
  readStatus,
  type TimesyncStatus,
  uptimeSecs,
} from '../../daemons/timesync/status.ts';
import { printable } from '../../runtime/text.ts';
import { EXIT } from '../exit.ts';
import { readStatusFile } from '../status/read-status.ts';
import type { Surroundings } from '../surroundings.ts';

/** Prints what the daemon of time synchronization said last; "not found" when it does not run. */
export function timesyncStatus(
  around: Pick<Surroundings, 'out'>,
  file: string,
  json: boolean,
): number {
  const status = readStatusFile(file, readStatus);
  const running = status !== undefined && isAlive(status.process);
  const nowSecs = uptimeSecs();
  if (json) around.out(`${JSON.stringify({ running, nowUptimeSecs: nowSecs, ...status })}\n`);
  else around.out(running ? describe(status, nowSecs) : NOT_RUNNING);
  return running ? EXIT.ok : EXIT.notFound;
}

const NOT_RUNNING =
  "vmic-timesync does not run. If the kernel's hv_utils has the channel, it sets the clock when " +
  'the host orders it,\nbut corrects no drift.\n';

const ACCURACY: Readonly<Record<string, string>> = {
  exact: "exact, by the partition's reference counter",
  referenced: 'late by no more than the least late sample',
  plain: 'late by no more than the least late sample; the host does not tell their age',
};

function describe(status: TimesyncStatus, nowSecs: number): string {
  const { last, lastStep, counters } = status;
  const ago = (secs: number): string => `${Math.max(0, Math.round(nowSecs - secs))} s ago`;
  const count = (...names: string[]): number =>
    names.reduce((sum, name) => sum + (counters[name] ?? 0), 0);
  const negotiated = status.version ? `messages ${status.version}` : 'no host has negotiated yet';
  const rows: [string, string][] = [
    ['Process', `${status.process.pid}, ${negotiated}`],
    [
      'Clock',
      status.clock === 'system' ? "the machine's" : "SIMULATED: the machine's clock is left alone",
    ],
    ['Mode', `${status.mode}${status.configured ? ' (configured)' : `: ${status.reason}`}`],
  ];
  if (status.advice !== undefined) rows.push(['Advice', status.advice]);
  if (last) {
    const then =
      lastStep !== undefined && lastStep.uptimeSecs >= last.uptimeSecs ? ', then set' : '';
    rows.push(['Offset', `${offset(last.offsetNs)} (${ago(last.uptimeSecs)}${then})`]);
    rows.push(['Samples are', ACCURACY[last.kind] ?? last.kind]);
    if (last.frequencyPpm !== undefined) {
      const { frequencyPpm: ppm } = last;
      rows.push([
        'Frequency',
        `the host runs ${Math.abs(ppm).toFixed(3)} ppm ${ppm < 0 ? 'slower' : 'faster'} than ` +
          'the raw clock',
      ]);
    }
  }
  if (lastStep) {
    const why = lastStep.because === 'sync' ? 'the host ordered it' : 'this guest was suspended';
    rows.push(['Last step', `${seconds(lastStep.byNs)}: ${why} (${ago(lastStep.uptimeSecs)})`]);
  }
  rows.push([
    'Messages',
    `${count('messages')}: ${count('syncs')} to set the clock, ${count('samples')} samples, ` +
      `${count('ignored')} without an order`,
  ]);
  rows.push([
    'Refused',
    `${count('stale')} stale, ${count('absurd')} absurd, ${count('backwards')} backwards`,
  ]);
  rows.push([
    'Done',
    `${count('steps')} steps, ${count('slews')} slews, ${count('fed')} samples for chronyd`,
  ]);
  if (status.problem !== undefined)
    rows.push(['PROBLEM', `the clock can't be changed: ${status.problem}`]);
  return rows.map(([name, value]) => `${name.padEnd(12)} ${printable(value)}\n`).join('');
}

function offset(ns: string): string {
  const behind = Number(ns) >= 0;
  return `${seconds(behind ? ns : ns.slice(1), false)} ${behind ? 'behind' : 'ahead of'} the host`;
}

/** "+0.000123 s" */
function seconds(ns: string, sign = true): string {
  const value = Number(ns) / 1e9;
  return `${sign && value >= 0 ? '+' : ''}${value.toFixed(6)} s`;
}
