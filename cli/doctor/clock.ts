import { CLOCK_PROGRAMS, type ClockProgram } from '../../runtime/clock-programs.ts';
import type { Snapshot } from '../status/snapshot.ts';
import { serviceUnit } from '../status/units.ts';
import type { Check } from './finding.ts';

/** The programs that run and surely discipline the clock, in the order of their processes. */
const runningPrograms = ({ processes }: Snapshot): readonly ClockProgram[] =>
  [...new Set(processes.map(({ name }) => name))].flatMap((name) =>
    CLOCK_PROGRAMS.filter(({ process, mayFeed }) => process === name && !mayFeed),
  );

const namesOf = (programs: readonly ClockProgram[]): string =>
  programs.map(({ program }) => program).join(' and ');

function stopCommand({ units: seen }: Snapshot, { program, units }: ClockProgram): string {
  const unit = units.find((candidate) => seen?.[candidate]?.active === 'active');
  return unit === undefined ? `# stop ${program}` : `systemctl disable --now ${unit}`;
}

const twoPrograms: Check = ({ snapshot }) => {
  const running = runningPrograms(snapshot);
  if (running.length < 2) return [];
  return [
    {
      id: 'clock-two-programs',
      severity: 'problem',
      title: `The clock is disciplined by ${namesOf(running)} at once.`,
      explanation: 'They correct each other: the clock wanders and may jump. Keep one.',
      mend: running.slice(1).map((program) => stopCommand(snapshot, program)),
    },
  ];
};

const vmicAndOther: Check = ({ snapshot }) => {
  const running = runningPrograms(snapshot);
  const { status, isRunning } = snapshot.daemons.timesync ?? { isRunning: false };
  if (running.length === 0 || !isRunning || status?.details?.['mode'] !== 'discipline') return [];
  return [
    {
      id: 'clock-vmic-and-other',
      severity: 'problem',
      service: 'timesync',
      title: `The clock is disciplined by vmic-timesync and by ${namesOf(running)}.`,
      explanation:
        'mode = "discipline" is configured, or the other program started later. By itself ' +
        'vmic-timesync leaves the clock to it.',
      mend: [
        '# remove mode = "discipline" from section [timesync] of /etc/vmic/config.toml',
        `systemctl restart ${serviceUnit('timesync')}`,
      ],
    },
  ];
};

export const clockChecks: readonly Check[] = [twoPrograms, vmicAndOther];
