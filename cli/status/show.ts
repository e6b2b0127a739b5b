import { EXIT } from '../exit.ts';
import type { Surroundings } from '../surroundings.ts';
import type { Snapshot } from './snapshot.ts';
import { describeStatus, summarize } from './status.ts';

/** `vmic status`; "not found" where there is no VMBus. */
export function showStatus(
  { out }: Pick<Surroundings, 'out'>,
  snapshot: Snapshot,
  json: boolean,
): number {
  const lines = summarize(snapshot);
  if (json) {
    const { isHyperV, hasVmbus, kernel } = snapshot;
    out(`${JSON.stringify({ isHyperV, hasVmbus, kernel, services: lines })}\n`);
  } else out(describeStatus(snapshot, lines));
  return snapshot.hasVmbus ? EXIT.ok : EXIT.notFound;
}
