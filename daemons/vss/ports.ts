import type { FreezeOutcome, ThawOutcome } from './freeze/ports.ts';

/** What the service needs: somebody who freezes and thaws. */
export interface VssPorts {
  /** From the beginning of a freeze until all is cleared up after the thaw. */
  readonly busy: boolean;
  freeze(): Promise<FreezeOutcome>;
  /** Answers as soon as everything is thawed. */
  thaw(): Promise<ThawOutcome>;
  /**
   * Thaws what is frozen, or breaks a freeze off; resolves when all is cleared up. The guard has
   * its order before this returns.
   */
  stop(why: string): Promise<void>;
}
