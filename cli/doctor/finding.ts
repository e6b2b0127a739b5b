import type { ServiceName } from '../../protocol/ic/classes.ts';
import type { Snapshot } from '../status/snapshot.ts';
import type { ServiceLine } from '../status/status.ts';

/**
 * `problem`: something does not work. `warning`: it may go wrong, or is not as it should be.
 * `note`: good to know.
 */
export type Severity = 'problem' | 'warning' | 'note';

export interface Finding {
  /** Stays the same from version to version. */
  readonly id: string;
  readonly severity: Severity;
  readonly service?: ServiceName;
  readonly title: string;
  readonly explanation: string;
  /** Commands that fix it. Root runs them one after the other. */
  readonly mend?: readonly string[];
}

/** What the checks look at. */
export interface Look {
  readonly snapshot: Snapshot;
  /** The snapshot as `vmic status` sums it up. */
  readonly lines: readonly ServiceLine[];
}

export type Check = (look: Look) => readonly Finding[];

/** Looks at one service. */
export type ServiceCheck = (line: ServiceLine, snapshot: Snapshot) => Finding | undefined;

/** Makes `checks` for each service. All findings about one service stay together. */
export const eachService =
  (...checks: readonly ServiceCheck[]): Check =>
  ({ lines, snapshot }) =>
    present(lines.flatMap((line) => checks.map((check) => check(line, snapshot))));

export const present = (findings: readonly (Finding | undefined)[]): readonly Finding[] =>
  findings.filter((finding) => finding !== undefined);
