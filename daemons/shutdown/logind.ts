import { type Outcome, run } from '../../runtime/executables.ts';

/** The host waits for an answer while logind is asked. */
const QUESTION_TIMEOUT_MS = 2000;
const INHIBITORS_OUTPUT_BYTES = 256 * 1024;

/** Calls a method of systemd-logind (org.freedesktop.login1(5)). */
export function askLogind(
  env: Readonly<Record<string, string>>,
  method: string,
  ...options: string[]
): Promise<Outcome> {
  const object = [
    'org.freedesktop.login1',
    '/org/freedesktop/login1',
    'org.freedesktop.login1.Manager',
  ];
  return run('busctl', {
    args: [...options, 'call', ...object, method],
    env,
    timeoutMs: QUESTION_TIMEOUT_MS,
    outputBytes: INHIBITORS_OUTPUT_BYTES,
  });
}
