import { CLOCK_PROGRAMS } from '../../runtime/clock-programs.ts';
import type { Refclock } from './chrony.ts';
import type { Mode } from './discipline.ts';

/** What can be seen of other programs that may discipline the clock. */
export interface Surroundings {
  /** Names of the running processes as the kernel keeps them, 15 characters at most. */
  readonly processNames: ReadonlySet<string>;
  /** chronyd's socket for our samples is there. */
  readonly chronySocketExists: boolean;
  /** The reference clocks in chronyd's configuration. */
  readonly refclocks: readonly Refclock[];
}

/** A mode, and why. */
export interface Choice {
  readonly mode: Mode;
  readonly reason: string;
  /** What an administrator could do about it. */
  readonly advice?: string;
}

/** Chooses what to do by what else runs. */
export function chooseMode(around: Surroundings, chronySocket: string): Choice {
  const names = CLOCK_PROGRAMS.filter(({ process }) => around.processNames.has(process)).map(
    ({ program }) => program,
  );
  if (names.includes('chronyd') && around.chronySocketExists) {
    return {
      mode: 'chrony',
      reason: `chronyd disciplines the clock and listens on ${chronySocket}`,
    };
  }
  if (names.includes('chronyd')) {
    const line = `refclock SOCK ${chronySocket} refid HYPV poll 3 stratum 2`;
    const phc = around.refclocks.find(
      ({ driver, parameter }) => driver === 'PHC' && parameter.includes('hyperv'),
    );
    return {
      mode: 'observe',
      reason: 'chronyd disciplines the clock',
      advice: phc
        ? `chronyd's reference clock ${phc.parameter} belongs to hv_utils and is gone while ` +
          `this service has the channel: replace it by "${line}"`
        : `to give chronyd the host's time as well, add "${line}" to its configuration`,
    };
  }
  if (names.length > 0) {
    return {
      mode: 'observe',
      reason: `${names.join(' and ')} ${names.length > 1 ? 'discipline' : 'disciplines'} the clock`,
    };
  }
  return { mode: 'discipline', reason: 'no other program disciplines the clock' };
}
