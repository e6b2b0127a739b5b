/** A program that disciplines the clock. */
export interface ClockProgram {
  readonly name: string;
  /** The name of its process as the kernel keeps it: 15 characters at most. */
  readonly process: string;
  /** Its unit, in the spellings of the distributions. */
  readonly units: readonly string[];
  /** False for a program that follows a clock of this machine. */
  readonly followsNetwork: boolean;
}

export const CLOCK_PROGRAMS: readonly ClockProgram[] = [
  {
    name: 'chronyd',
    process: 'chronyd',
    units: ['chrony.service', 'chronyd.service'],
    followsNetwork: true,
  },
  {
    name: 'systemd-timesyncd',
    process: 'systemd-timesyn',
    units: ['systemd-timesyncd.service'],
    followsNetwork: true,
  },
  {
    // The reference implementation, NTPsec and OpenNTPD
    name: 'ntpd',
    process: 'ntpd',
    units: ['ntp.service', 'ntpd.service', 'ntpsec.service'],
    followsNetwork: true,
  },
  // ntpd-rs
  { name: 'ntp-daemon', process: 'ntp-daemon', units: [], followsNetwork: true },
  { name: 'phc2sys', process: 'phc2sys', units: [], followsNetwork: false },
];
