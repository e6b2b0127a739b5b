import type { ServiceStatus } from '../../../runtime/status/status.ts';
import type { StatusHead } from '../../../runtime/status/status-file.ts';

/** A status file's content for what a service adds to it. */
export function wholeStatus<Details extends object>({
  service,
  process,
  uptimeSecs,
  ...details
}: StatusHead & Details): ServiceStatus<object> {
  return {
    service,
    process,
    uptimeSecs,
    state: 'serving',
    transport: 'uio:',
    onDemand: false,
    counters: {},
    details,
  };
}
