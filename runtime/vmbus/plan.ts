/**
 * The kernel's own driver of the integration services, and the one that gives a channel to user
 * space.
 */
export const KERNEL_DRIVER = 'hv_utils';
export const USER_SPACE_DRIVER = 'uio_hv_generic';

/** A channel's place in the driver model. */
export interface Place {
  /** Whose channel it is; undefined: nobody's. */
  readonly driver: string | undefined;
  /** The one driver that may take the channel; undefined: the first that knows its class. */
  readonly override: string | undefined;
}

/** Where a channel can be put. */
export const IN_USER_SPACE: Place = { driver: USER_SPACE_DRIVER, override: USER_SPACE_DRIVER };
export const IN_KERNEL: Place = { driver: KERNEL_DRIVER, override: undefined };

export type Step =
  | { readonly action: 'load'; readonly driver: string }
  | { readonly action: 'override'; readonly driver: string | undefined }
  | { readonly action: 'unbind'; readonly driver: string }
  | { readonly action: 'bind'; readonly driver: string };

/**
 * The next step on the way from one place to another; undefined: it is there. Asked again after
 * each step, since the kernel moves things, too: a module that is loaded takes the channels it
 * knows.
 *
 * The override comes first, while the channel still has its driver: from then on nobody else can
 * take it, and a driver binds only what the override lets it have, on the way back as well.
 */
export function nextStep(
  at: Place,
  to: Place,
  isLoaded: (driver: string) => boolean,
): Step | undefined {
  if (to.driver !== undefined && at.driver !== to.driver && !isLoaded(to.driver)) {
    return { action: 'load', driver: to.driver };
  }
  if (at.override !== to.override) return { action: 'override', driver: to.override };
  if (at.driver === to.driver) return undefined;
  if (at.driver !== undefined) return { action: 'unbind', driver: at.driver };
  return { action: 'bind', driver: to.driver! };
}

/**
 * A way has four steps at most: load, override, unbind, bind. The rest is for others who move the
 * same channel meanwhile.
 */
export const MAX_STEPS = 8;
