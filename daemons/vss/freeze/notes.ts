import type { FreezerContext } from './ports.ts';
import type { Attempt } from './states.ts';
import { type CurrentFreeze, type FreezeRecord, KEPT_RECORDS, type VssStatus } from './status.ts';

/** Notes in the status file what a freeze does, so that another process can clear up after it. */
export class FreezeNotes {
  readonly #context: FreezerContext;

  constructor(context: FreezerContext) {
    this.#context = context;
  }

  /** Notes a freeze under way. */
  begun({ at, guard, plan, hooks }: Attempt): void {
    const { ports, by } = this.#context;
    const current: CurrentFreeze = {
      by,
      process: ports.self,
      ...(guard ? { guard: ports.identityOf(guard.pid) } : {}),
      at,
      mountPoints: plan?.stages.flat().map(({ mountPoint }) => mountPoint) ?? [],
      hooks: [...hooks],
    };
    this.#change((status) => ({ ...status, current }));
  }

  /** Records a freeze that is over. Keeps a freeze under way that another process owns. */
  over(record: FreezeRecord): void {
    this.#change(({ current, freezes, ...status }) => ({
      ...status,
      ...(current !== undefined && !this.#isOurs(current) ? { current } : {}),
      freezes: [record, ...freezes].slice(0, KEPT_RECORDS),
    }));
  }

  /** Records a freeze whose process ended in the middle, in place of its note. */
  interrupted(record: FreezeRecord): void {
    this.#change(({ current: _, freezes, ...status }) => ({
      ...status,
      freezes: [record, ...freezes].slice(0, KEPT_RECORDS),
    }));
  }

  /**
   * Marks that its asker has heard that the newest freeze ended too early, because a later process
   * must not tell it again.
   */
  told(): void {
    const { by } = this.#context;
    this.#change(({ freezes: [newest, ...others], ...status }) => ({
      ...status,
      freezes:
        newest === undefined
          ? []
          : [newest.by === by ? { ...newest, told: true } : newest, ...others],
    }));
  }

  #isOurs({ process: { pid, startTicks } }: CurrentFreeze): boolean {
    const { self } = this.#context.ports;
    return pid === self.pid && startTicks === self.startTicks;
  }

  /** A status that can't be written does not fail a backup. */
  #change(change: (status: VssStatus) => VssStatus): void {
    try {
      this.#context.ports.changeStatus(change);
    } catch (error) {
      this.#context.log.error("The status can't be written", { error });
    }
  }
}
