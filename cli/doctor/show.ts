import { printable } from '../../runtime/text.ts';
import { CommandError, EXIT } from '../exit.ts';
import type { Snapshot } from '../status/snapshot.ts';
import type { Surroundings } from '../surroundings.ts';
import { diagnose } from './diagnose.ts';
import { EXPLANATIONS, findExplanation } from './explain.ts';
import type { Finding } from './finding.ts';

type Output = Pick<Surroundings, 'out'>;

const MARKS = { problem: 'PROBLEM', warning: 'WARNING', note: 'note' } as const;

/** `vmic doctor`: 0 nothing is wrong, 1 something is. Warnings and notes change nothing. */
export function doctor(
  { out }: Output,
  snapshot: Snapshot,
  { json, all }: { readonly json: boolean; readonly all: boolean },
): number {
  const findings = diagnose(snapshot);
  if (json) out(`${JSON.stringify({ findings, snapshot })}\n`);
  else {
    const shown = findings.filter(({ severity }) => all || severity !== 'note');
    const hidden = findings.length - shown.length;
    for (const finding of shown) out(describe(finding));
    if (shown.length === 0) out('Nothing is wrong.\n');
    if (hidden > 0) out(`${hidden === 1 ? 'One note' : `${hidden} notes`} more with --all.\n`);
  }
  return findings.some(({ severity }) => severity === 'problem') ? EXIT.notFound : EXIT.ok;
}

function describe({ severity, title, explanation, mend = [] }: Finding): string {
  const lines = [
    `${MARKS[severity]}  ${printable(title)}`,
    ...explanation.split('\n').map((line) => `    ${printable(line)}`),
    ...mend.map((command) => `      ${printable(command)}`),
    '',
  ];
  return lines.map((line) => `${line}\n`).join('');
}

/** `vmic doctor --explain CODE`. */
export function explain({ out }: Output, code: string, json: boolean): number {
  const found = findExplanation(code);
  if (!found) {
    throw new CommandError(
      'notFound',
      `nothing is known about "${printable(code)}"; there are:\n  ` +
        `${EXPLANATIONS.map((one) => one.code).join('\n  ')}`,
    );
  }
  if (json) {
    out(`${JSON.stringify(found)}\n`);
    return EXIT.ok;
  }
  const list = (title: string, items: readonly string[]): string =>
    items.length === 0 ? '' : `\n${title}\n${items.map((item) => `  ${item}\n`).join('')}`;
  out(
    `${found.code}\n${found.meaning}\n` +
      `${list('It may be that:', found.causes)}${list('Look at:', found.look)}`,
  );
  return EXIT.ok;
}
