/** syslog(3) severities, which journald takes as PRIORITY. */
export const SEVERITIES = {
  critical: 2,
  error: 3,
  warning: 4,
  notice: 5,
  info: 6,
  debug: 7,
} as const;
export type Severity = keyof typeof SEVERITIES;
