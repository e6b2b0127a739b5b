import type { Plan, Skipped } from '../../daemons/vss/freeze/plan.ts';
import { isWorthTelling } from '../../daemons/vss/freeze/report.ts';
import {
  type Guards,
  LinuxFreezer,
  PLACES,
  type VssOptions,
} from '../../daemons/vss/freeze/system.ts';
import { printable } from '../../runtime/text.ts';
import { EXIT } from '../exit.ts';
import type { Surroundings } from '../surroundings.ts';

/** `vmic vss plan` */
export function showPlan(
  around: Pick<Surroundings, 'out' | 'err' | 'places'>,
  options: VssOptions,
  json: boolean,
): number {
  const ports = new LinuxFreezer(options, NO_GUARDS, around.places ?? PLACES);
  const made = ports.plan();
  const hooks = ports.hooks();
  if (json) {
    around.out(`${JSON.stringify({ ...made, hooks })}\n`);
    return EXIT.ok;
  }
  around.out(describePlan(made, hooks.files));
  warnOfPlan(around, made);
  for (const why of hooks.refused) around.err(`vmic: a hook is not run: ${printable(why)}\n`);
  return EXIT.ok;
}

/** A plan freezes nothing. */
const NO_GUARDS: Guards = {
  start: () => Promise.reject(new Error('no freeze here')),
  thawRecorded: () => Promise.reject(new Error('no freeze here')),
};

function warnOfPlan(around: Pick<Surroundings, 'err'>, { unmatched, strangeLines }: Plan): void {
  for (const item of unmatched) {
    around.err(
      `vmic: the configuration names ${printable(item)}, which matches nothing that is mounted\n`,
    );
  }
  if (strangeLines > 0)
    around.err(`vmic: ${strangeLines} lines of mountinfo could not be understood\n`);
}

export function describePlan({ stages, skipped }: Plan, hooks: readonly string[]): string {
  const lines: string[] = [];
  const names = [...stages.flat(), ...skipped.filter(isWorthTelling)].map(
    ({ mountPoint, source }) => printable(mountPoint || source),
  );
  const width = Math.max(0, ...names.map((one) => one.length)) + 2;
  if (hooks.length > 0)
    lines.push(
      'Hooks, in this order before and backwards after:',
      ...hooks.map((h) => `  ${printable(h)}`),
      '',
    );
  if (stages.length === 0) lines.push('Nothing would be frozen.');
  stages.forEach((stage, i) => {
    lines.push(
      stages.length === 1
        ? 'Frozen, all at once:'
        : i === 0
          ? 'Frozen first, since they lie on others:'
          : 'Then:',
    );
    for (const { mountPoint, fileSystem, source, deviceNumber, optional } of stage) {
      const what =
        `${fileSystem} on ${printable(source)} ` +
        `(${deviceNumber})${optional ? ', optional' : ''}`;
      lines.push(`  ${printable(mountPoint).padEnd(width)}${what}`);
    }
  });
  const told = skipped.filter(isWorthTelling);
  if (told.length > 0)
    lines.push('', 'Left alone:', ...told.map((one) => `  ${describeSkipped(one, width)}`));
  const untold = skipped.length - told.length;
  if (untold > 0)
    lines.push('', `${untold} more are in memory or on other file systems (--json lists them).`);
  return `${lines.join('\n')}\n`;
}

const describeSkipped = ({ mountPoint, source, fileSystem, why }: Skipped, width: number): string =>
  `${printable(mountPoint || source).padEnd(width)}${fileSystem}: ${printable(why)}`;
