/** An exit status of a program. */
export interface ExitStatus {
  readonly status: number;
  /**
   * What it means, without a capital and a full stop. A command or option stands in backquotes.
   */
  readonly meaning: string;
}

/** Returns the numbers alone, by the same names. */
export const numbersOf = <Name extends string>(
  statuses: Readonly<Record<Name, ExitStatus>>,
): Readonly<Record<Name, number>> =>
  Object.fromEntries(
    Object.entries<ExitStatus>(statuses).map(([name, { status }]) => [name, status]),
  ) as Record<Name, number>;

/**
 * Exit statuses of the daemons. 75 and 78 are EX_TEMPFAIL and EX_CONFIG of sysexits.h, which
 * systemd shows by name.
 */
export const DAEMON_EXIT_STATUSES = {
  ok: { status: 0, meaning: 'stopped on request' },
  failure: { status: 1, meaning: 'failure' },
  usage: { status: 2, meaning: 'wrong usage' },
  unbound: { status: 75, meaning: 'channel not in user space (`--end-unbound`)' },
  configuration: { status: 78, meaning: 'wrong configuration' },
} as const satisfies Readonly<Record<string, ExitStatus>>;

export const EXIT = numbersOf(DAEMON_EXIT_STATUSES);
