import { printable } from '../../runtime/text.ts';
import { diagnose, type Finding } from '../doctor/checks.ts';
import { EXPLANATIONS, findExplanation } from '../doctor/explain.ts';
import { CommandError, EXIT } from '../exit.ts';
import type { Snapshot } from './snapshot.ts';
import { describeStatus, summarize } from './status.ts';

interface Output {
  out(text: string): void;
}

/** `vmic status`; "not found" where there is no VMBus. */
export function status({ out }: Output, snapshot: Snapshot, json: boolean): number {
  const lines = summarize(snapshot);
  if (json) {
    const { isHyperV, hasVmbus, kernel } = snapshot;
    out(`${JSON.stringify({ isHyperV, hasVmbus, kernel, services: lines })}\n`);
  } else out(describeStatus(snapshot, lines));
  return snapshot.hasVmbus ? EXIT.ok : EXIT.notFound;
}

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
  const indented = explanation.split('\n').map((line) => `    ${printable(line)}\n`);
  return `${MARKS[severity]}  ${printable(title)}\n${indented.join('')}${mend.map((command) => `      ${printable(command)}\n`).join('')}\n`;
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
    `${found.code}\n${found.meaning}\n${list('It may be that:', found.causes)}${list('Look at:', found.look)}`,
  );
  return EXIT.ok;
}
