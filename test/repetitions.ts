/** How often the slow tests do what chance decides: their part that CI runs, or all of it. */

/** True when everything was asked for: "npm run test:slow -- --all". */
const isAll = process.env['VMIC_TEST_ALL'] === '1';

/**
 * Returns `all` when everything was asked for, else `part`. The tests print the number that they
 * use.
 */
export function repetitions({
  all,
  part,
}: {
  readonly all: number;
  readonly part: number;
}): number {
  return isAll ? all : part;
}
