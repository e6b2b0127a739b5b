/** A program that disciplines the clock of the guest. */
export interface ClockProgram {
  /** The name of its process as the kernel keeps it: 15 characters at most. */
  readonly process: string;
  /** The name that people know. */
  readonly program: string;
  /** Its units, as distributions call them. */
  readonly units: readonly string[];
  /**
   * The program may feed another one on purpose instead of disciplining the clock. Two programs
   * are then no problem.
   */
  readonly mayFeed?: true;
}

/** Every program that disciplines the clock, as far as vmic knows them. */
export const CLOCK_PROGRAMS: readonly ClockProgram[] = [
  { process: 'chronyd', program: 'chronyd', units: ['chrony.service', 'chronyd.service'] },
  {
    process: 'systemd-timesyn',
    program: 'systemd-timesyncd',
    units: ['systemd-timesyncd.service'],
  },
  // The reference implementation, NTPsec and OpenNTPD
  { process: 'ntpd', program: 'ntpd', units: ['ntp.service', 'ntpd.service', 'ntpsec.service'] },
  // ntpd-rs
  { process: 'ntp-daemon', program: 'ntp-daemon', units: [] },
  // With "-E ntpshm" it feeds ntpd or chronyd
  { process: 'phc2sys', program: 'phc2sys', units: [], mayFeed: true },
];
