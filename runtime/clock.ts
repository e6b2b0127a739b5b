/** Clock in milliseconds that never goes back. */
export type MonotonicMs = () => number;

/**
 * Reads CLOCK_MONOTONIC. A session calls it up to twice a request. We rejected
 * `performance.now()`, with which Node loads all of perf_hooks, and `process.uptime()`, which is
 * twice as slow.
 */
export const monotonicMs: MonotonicMs = () => {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1000 + nanoseconds / 1e6;
};
