/**
 * Kills a file copy daemon with SIGKILL while a file arrives, at any message of it, before or after
 * its answer, and looks at the folder: what was there before, or the whole new file, and nothing
 * else. What the host was told is complete must be there.
 */
import fs from 'node:fs';
import path from 'node:path';
import { complete, data, type Link, type Message, OVERWRITE, start } from './fcopy-messages.ts';
import { FcopySubject } from './fcopy-subject.ts';
import { DaemonGone } from './raw-host.ts';
import type { Kind } from './subject.ts';

const FRAGMENT_BYTES = 6144;
const NAME = 'file.bin';

export interface KillTally {
  /** By what was there afterwards. */
  readonly outcomes: Readonly<Record<'nothing' | 'the old file' | 'the new file', number>>;
  /** Kills that left a temporary name, which the next daemon removed. */
  readonly temporary: number;
  /** What was wrong, one line each. */
  readonly faults: readonly string[];
}

const content = (serial: number, bytes: number): Buffer =>
  Buffer.alloc(
    bytes,
    Uint8Array.from({ length: 251 }, (_, i) => (i * 7 + serial) & 0xff),
  );

export async function killDuringCopies(kind: Kind, link: Link, kills: number): Promise<KillTally> {
  const outcomes = { nothing: 0, 'the old file': 0, 'the new file': 0 };
  const faults: string[] = [];
  let temporary = 0;
  const subject = new FcopySubject(kind, link);
  const file = path.join(subject.target, NAME);
  try {
    for (let kill = 0; kill < kills; kill++) {
      const old =
        kill % 2 === 0 ? undefined : content(kill, 1 + Math.floor(Math.random() * 20_000));
      fs.rmSync(subject.target, { recursive: true });
      fs.mkdirSync(subject.target);
      if (old) fs.writeFileSync(file, old);
      // Of few fragments, so that every kind of message gets its share
      const fresh = content(kill + 1, Math.floor(Math.random() * 6 * FRAGMENT_BYTES));
      const messages: Message[] = [start(`${subject.target}/`, NAME, fresh.length, OVERWRITE)];
      for (let at = 0; at < fresh.length; at += FRAGMENT_BYTES) {
        messages.push(data(at, fresh.subarray(at, at + FRAGMENT_BYTES)));
      }
      messages.push(complete);

      await subject.start();
      // The last one more often than its share, and at any moment of the longer time that it takes
      const end = messages.length - 1;
      const last = Math.random() < 0.3 ? end : Math.floor(Math.random() * messages.length);
      const answered = Math.random() < 0.4;
      const spins = last === end ? 2_000_000 : 20_000;
      let completed = false;
      for (const [i, message] of messages.entries()) {
        const answer = subject.host.ask(message);
        // Some moment of the microseconds in which it deals with the message
        if (i === last && !answered) for (let n = Math.random() * spins; n > 0; n--);
        if (i === last && !answered) process.kill(subject.pid, 'SIGKILL');
        try {
          const status = await answer;
          if (status !== 0) faults.push(`kill ${kill}: message ${i} was answered with ${status}`);
          completed = message === complete;
        } catch (error) {
          if (!(error instanceof DaemonGone)) throw error;
          break;
        }
        if (i === last) break;
      }
      await subject.end('SIGKILL');

      // A file that takes the place of another one has a name of its own for a moment; killed then,
      // its end is noted, and left to the next daemon
      if (
        kind === 'vmic' &&
        fs.readdirSync(subject.target).some((name) => name.startsWith('.vmic-fcopy-'))
      ) {
        temporary++;
        await subject.start();
        await subject.end();
      }
      const found = fs.readdirSync(subject.target);
      const now = found.includes(NAME) ? fs.readFileSync(file) : undefined;
      const others = found.filter((name) => name !== NAME);
      if (others.length > 0) faults.push(`kill ${kill}: ${others.join(', ')} was left`);
      if (now === undefined && old === undefined) outcomes.nothing++;
      else if (now && old?.equals(now)) outcomes['the old file']++;
      else if (now?.equals(fresh)) outcomes['the new file']++;
      else {
        const what = now ? `${now.length} bytes of ${fresh.length}` : 'the old file is gone';
        faults.push(`kill ${kill}, message ${last} of ${messages.length}: ${what}`);
      }
      if (completed && !now?.equals(fresh)) faults.push(`kill ${kill}: complete, and not there`);
    }
  } finally {
    await subject.dispose();
  }
  return { outcomes, temporary, faults };
}

export const tellKills = (
  who: string,
  link: Link,
  kills: number,
  { outcomes, temporary, faults }: KillTally,
): string => {
  const ends = Object.entries(outcomes).map(([what, count]) => `${what} ${count}`);
  return (
    `${who} over the ${link}, ${kills} kills: ${faults.length} faults, ` +
    `${temporary} temporary names; ${ends.join(', ')}`
  );
};
