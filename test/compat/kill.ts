/**
 * Kills a daemon with SIGKILL while the host changes a pool, at moments left to chance, and looks
 * at the file it leaves: all that was answered must be in it, and the one change in flight either
 * whole or not at all.
 */
import fs from 'node:fs';
import { native } from '../../native/index.ts';
import { DaemonGone, remove, set } from './raw-host.ts';
import {
  decodeRecords,
  encodeRecords,
  type Kind,
  type PoolRecord,
  RECORD_BYTES,
  Subject,
} from './subject.ts';

const POOL = 0;

/** What a kill left. */
export type Outcome = 'whole' | 'empty' | 'torn' | 'short' | 'lost';

export interface Tally {
  readonly outcomes: Readonly<Record<Outcome, number>>;
  /** Kills which came while a change was on its way. */
  readonly inFlight: number;
  /** Of those, how many had the change in the file. */
  readonly made: number;
  readonly changes: number;
  /** What was wrong, one line each. */
  readonly faults: readonly string[];
}

export type Change = { readonly key: string; readonly value: string | undefined };

const letters = 'abcdefghijklmnopqrstuvwxyz0123456789';

/**
 * A value that fills its record, so that most cross a page border, and has another letter at every
 * place than the last.
 */
function longValue(serial: number): string {
  const letter = letters[serial % letters.length]!;
  return `${serial}:`.padEnd(1500 + (serial % 547), letter);
}

const keyOf = (index: number): string => `key${String(index).padStart(6, '0')}`;

/** The pool after a change: set in place or appended, or removed. */
function apply(records: readonly PoolRecord[], { key, value }: Change): PoolRecord[] {
  if (value === undefined) return records.filter((record) => record.key !== key);
  if (records.some((record) => record.key === key)) {
    return records.map((record) => (record.key === key ? { key, value } : record));
  }
  return [...records, { key, value }];
}

/** Mostly sets of keys that are there; one change in four removes a key or appends a new one. */
function nextChange(records: readonly PoolRecord[], serial: number, wanted: number): Change {
  const some = records[Math.floor(Math.random() * records.length)]?.key;
  if (serial % 4 !== 3 && some !== undefined) return { key: some, value: longValue(serial) };
  if (records.length > wanted && some !== undefined) return { key: some, value: undefined };
  return { key: `new${serial}`, value: longValue(serial) };
}

/**
 * A change that is under way outlives the daemon (it is made by a child which the kill does not
 * reach), and so does its lock: with the lock held, the file is as it stays.
 */
async function readSettled(file: string): Promise<Buffer> {
  const fd = fs.openSync(file, 'r+');
  try {
    while (!native.tryLock(fd, 'exclusive')) await new Promise((resolve) => setTimeout(resolve, 1));
    return fs.readFileSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}

const show = (records: readonly PoolRecord[]): string => `${records.length} records`;

function judge(
  bytes: Buffer,
  before: readonly PoolRecord[],
  after: readonly PoolRecord[],
): [Outcome, string] {
  if (bytes.length === 0 && before.length > 0) return ['empty', 'the file is empty'];
  if (bytes.length % RECORD_BYTES !== 0)
    return ['torn', `${bytes.length} bytes are no whole records`];
  const records = decodeRecords(bytes);
  const text = JSON.stringify(records);
  if (text === JSON.stringify(before) || text === JSON.stringify(after)) return ['whole', ''];
  if (records.length < Math.min(before.length, after.length)) {
    return ['short', `${show(records)} of ${show(before)}`];
  }
  const at = records.findIndex(({ key, value }, index) =>
    [before[index], after[index]].every((known) => known?.key !== key || known.value !== value),
  );
  const { key, value } = records[at] ?? { key: '', value: '' };
  const known = [...before, ...after].some(
    (record) => record.key === key && record.value === value,
  );
  return [
    known ? 'lost' : 'torn',
    `record ${at} of ${show(records)} is ${key}=${value.slice(0, 24)}...`,
  ];
}

/** Kills the daemon `kills` times, each time with `count` records in the pool. */
export async function killDuringChanges(kind: Kind, count: number, kills: number): Promise<Tally> {
  const outcomes: Record<Outcome, number> = { whole: 0, empty: 0, torn: 0, short: 0, lost: 0 };
  const faults: string[] = [];
  let [inFlight, made, changes, serial] = [0, 0, 0, 0];
  const subject = new Subject(kind);
  try {
    for (let kill = 0; kill < kills; kill++) {
      let records: PoolRecord[] = Array.from({ length: count }, (_, index) => ({
        key: keyOf(index),
        value: longValue(index),
      }));
      subject.write(POOL, encodeRecords(records));
      await subject.start();
      let pending: Change | undefined;
      let killed = false;
      const moment = 1 + Math.random() * 30;
      const timer = setTimeout(() => {
        killed = true;
        process.kill(subject.pid, 'SIGKILL');
      }, moment);
      try {
        while (!killed) {
          pending = nextChange(records, serial++, count);
          const { key, value } = pending;
          const reply = await subject.host.ask(
            value === undefined ? remove(POOL, key) : set(POOL, key, value),
          );
          if (reply.status !== 0) faults.push(`kill ${kill}: status ${reply.status} for ${key}`);
          records = apply(records, pending);
          pending = undefined;
          changes++;
        }
      } catch (error) {
        if (!(error instanceof DaemonGone)) throw error;
      } finally {
        clearTimeout(timer);
      }
      await subject.end('SIGKILL');
      const after = pending ? apply(records, pending) : records;
      if (pending) inFlight++;
      const bytes = await readSettled(subject.file(POOL));
      const [outcome, why] = judge(bytes, records, after);
      outcomes[outcome]++;
      if (outcome !== 'whole') faults.push(`kill ${kill}: ${outcome}: ${why}`);
      else if (pending && bytes.equals(encodeRecords(after))) made++;
      if (
        kind === 'vmic' &&
        outcome === 'whole' &&
        !bytes.equals(encodeRecords(decodeRecords(bytes)))
      ) {
        faults.push(`kill ${kill}: bytes of an earlier value are left behind`);
      }
    }
  } finally {
    await subject.dispose();
  }
  return { outcomes, inFlight, made, changes, faults };
}

export const tell = (
  who: string,
  count: number,
  kills: number,
  { outcomes, inFlight, made, changes }: Tally,
): string => {
  const damages = Object.entries(outcomes)
    .filter(([outcome]) => outcome !== 'whole')
    .map(([outcome, number]) => `${outcome} ${number}`);
  return (
    `${who}, ${count} records, ${kills} kills in ${changes} changes: ` +
    `${kills - outcomes.whole} damaged (${damages.join(', ')}); ` +
    `${inFlight} with a change in flight, ${made} of those made`
  );
};
