import type { Snapshot } from '../status/snapshot.ts';
import { summarize } from '../status/status.ts';
import { backupChecks } from './backups.ts';
import { cDaemonChecks } from './c-daemons.ts';
import { channelChecks } from './channels.ts';
import { clockChecks } from './clock.ts';
import { copyChecks } from './copies.ts';
import { daemonChecks } from './daemons.ts';
import { denialChecks } from './denials.ts';
import type { Check, Finding, Severity } from './finding.ts';
import { kernelChecks } from './kernel.ts';
import { diagnoseWithoutVmbus } from './machine.ts';
import { poolChecks } from './pools.ts';
import { socketChecks } from './sockets.ts';
import { statusFileChecks } from './status-files.ts';
import { unitChecks } from './units.ts';

/** One list for each subject. Findings of the same severity keep this order. */
const CHECKS: readonly Check[] = [
  ...channelChecks,
  ...daemonChecks,
  ...unitChecks,
  ...cDaemonChecks,
  ...clockChecks,
  ...poolChecks,
  ...backupChecks,
  ...copyChecks,
  ...denialChecks,
  ...kernelChecks,
  ...statusFileChecks,
  ...socketChecks,
];

const ORDER: readonly Severity[] = ['problem', 'warning', 'note'];

/** Everything that is wrong, worst first. */
export function diagnose(snapshot: Snapshot): readonly Finding[] {
  if (!snapshot.hasVmbus) return diagnoseWithoutVmbus(snapshot);
  const look = { snapshot, lines: summarize(snapshot) };
  return CHECKS.flatMap((check) => check(look)).sort(
    (a, b) => ORDER.indexOf(a.severity) - ORDER.indexOf(b.severity),
  );
}
