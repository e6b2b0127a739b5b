import { FREEZE_RESULTS, type FreezeRecord } from '../../daemons/vss/freeze/status.ts';
import { printable } from '../../runtime/text.ts';

/** A freeze as people read it, with a line for each file system and each hook. */
export function describeRecord({
  by,
  at,
  result,
  problem,
  preparedMs,
  freezingMs,
  volumes,
  skipped,
  hooks,
}: FreezeRecord): string {
  const lines = [
    `${at}  for ${by === 'host' ? 'the host' : 'a command'}: ${FREEZE_RESULTS[result]}`,
  ];
  if (problem !== undefined) lines.push(`  problem: ${printable(problem)}`);
  if (preparedMs !== undefined && freezingMs !== undefined) {
    lines.push(`  ${ms(preparedMs)} to write out, ${ms(freezingMs)} to freeze`);
  }
  for (const { mountPoint, fileSystem, outcome, frozenForMs, problem: why } of volumes) {
    const time = frozenForMs === undefined ? '' : ` for ${ms(frozenForMs)}`;
    const words = {
      frozen: `frozen${time}`,
      foreign: 'frozen by somebody else, as before',
      left: 'not frozen',
    }[outcome];
    const reason = why === undefined ? '' : `: ${printable(why)}`;
    lines.push(`  ${printable(mountPoint)} (${fileSystem}): ${words}${reason}`);
  }
  if (skipped.length > 0) {
    const names = skipped.map(
      ({ mountPoint, source, reason }) => `${printable(mountPoint || source)} (${reason})`,
    );
    lines.push(`  left alone: ${names.join(', ')}`);
  }
  for (const { file, argument, ms: took, problem: why } of hooks) {
    const reason = why === undefined ? '' : `, ${printable(why)}`;
    lines.push(`  hook ${printable(file)} ${argument}: ${ms(took)}${reason}`);
  }
  return `${lines.join('\n')}\n`;
}

const ms = (time: number): string => `${time < 10 ? time.toFixed(1) : Math.round(time)} ms`;
