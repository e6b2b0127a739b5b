import { type Health, NOTHING_KNOWN } from './health.ts';
import type { HealthOptions, HealthPorts } from './ports.ts';

/**
 * Finds out how the guest is, again and again, until `wait` says that it is over. Two loops: a
 * check that takes its time must not keep us from seeing that the system goes down.
 */
export async function watchHealth(
  ports: HealthPorts,
  options: HealthOptions,
  report: (health: Health) => void,
  warn: (text: string) => void,
): Promise<void> {
  let health = NOTHING_KNOWN;
  const update = (part: Partial<Health>): void => {
    health = { ...health, ...part };
    report(health);
  };

  const watchSystem = async (): Promise<void> => {
    const { units, intervalSecs } = options;
    do {
      const system = await ports.systemState();
      const failed = units.length > 0 && system !== 'unknown' ? await ports.failedUnits(units) : [];
      update({ system, failedUnits: failed });
    } while (await ports.wait(intervalSecs * 1000));
  };

  const runChecks = async (): Promise<void> => {
    const problems = new Map<string, string>();
    const warned = new Set<string>();
    do {
      const { files, refused } = await ports.checks();
      for (const why of refused) {
        if (!warned.has(why)) warn(why);
        warned.add(why);
      }
      for (const known of problems.keys()) if (!files.includes(known)) problems.delete(known);
      // One at a time: checks must not become a load of their own
      for (const file of files) {
        const problem = await ports.runCheck(file);
        if (problem === undefined) problems.delete(file);
        else problems.set(file, problem);
        update({ failedChecks: [...problems.values()] });
      }
      if (files.length === 0) update({ failedChecks: [] });
    } while (await ports.wait(options.checkIntervalSecs * 1000));
  };

  await Promise.all([watchSystem(), runChecks()]);
}
