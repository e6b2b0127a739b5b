import { setTimeout as sleep } from 'node:timers/promises';
import { Freezer } from '../../daemons/vss/freeze/freezer.ts';
import type { FreezeRecord } from '../../daemons/vss/freeze/status.ts';
import {
  LinuxFreezer,
  PLACES,
  policyOf,
  type VssOptions,
} from '../../daemons/vss/freeze/system.ts';
import { CommandError, EXIT } from '../exit.ts';
import type { Surroundings } from '../surroundings.ts';
import { heldLog } from './held-log.ts';
import { describePlan } from './plan.ts';
import { describeRecord } from './record.ts';

/** The guard's own limit comes this long after the command's: it is for a command that hangs. */
const GUARD_MARGIN_SECS = 5;
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** `vmic vss freeze` */
export async function freezeFor(
  around: Pick<Surroundings, 'out' | 'err' | 'ask' | 'loadGuards' | 'places'>,
  options: VssOptions,
  { forMs, yes, json }: { readonly forMs: number; readonly yes: boolean; readonly json: boolean },
): Promise<number> {
  const ports = new LinuxFreezer(options, await around.loadGuards(), around.places ?? PLACES);
  const seconds = `${forMs / 1000} s`;
  if (!yes) {
    if (around.ask === undefined)
      throw new CommandError('usage', 'give --yes: there is nobody to ask');
    around.out(describePlan(ports.plan(), ports.hooks().files));
    const question =
      `\nWhatever writes to these waits for ${seconds}; that can include this terminal's ` +
      'programs. Freeze?';
    if (!(await around.ask(question))) return EXIT.notFound;
  }
  const policy = { ...policyOf(options), limitSecs: Math.ceil(forMs / 1000) + GUARD_MARGIN_SECS };
  const freezer = new Freezer({ ports, policy, ...heldLog(around), by: 'command' });
  const wake = new AbortController();
  const stop = (): void => wake.abort();
  for (const signal of SIGNALS) process.on(signal, stop);
  try {
    if (!json) around.out(`Freezing for ${seconds}; Ctrl-C thaws.\n`);
    const freezing = freezer.freeze();
    wake.signal.addEventListener('abort', () => void freezer.stop('the command was told to stop'));
    const outcome = await freezing;
    if (outcome.ok) {
      const over = new AbortController();
      const either = AbortSignal.any([wake.signal, over.signal]);
      void freezer.over().then(() => over.abort());
      await sleep(forMs, undefined, { signal: either }).catch(() => {});
      if (!either.aborted) await freezer.thaw();
    }
    if (!outcome.ok && outcome.busy)
      throw new CommandError('busy', `${outcome.problem} (vmic vss status)`);
    const record = (await freezer.over()) as FreezeRecord;
    around.out(json ? `${JSON.stringify(record)}\n` : describeRecord(record));
    if (record.result === 'failed')
      throw new CommandError('system', record.problem ?? 'the freeze failed');
    return record.result === 'thawed' && record.problem === undefined ? EXIT.ok : EXIT.notFound;
  } finally {
    for (const signal of SIGNALS) process.removeListener(signal, stop);
  }
}
