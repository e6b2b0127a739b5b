import { SERVICE_NAMES, type ServiceName } from '../../protocol/ic/classes.ts';
import { cDaemonUnits, serviceOfProcess } from '../../runtime/services.ts';
import type { ProcessSeen, Snapshot } from './snapshot.ts';

/** The units of all C daemons that vmic replaces, in every spelling. */
export const C_UNITS: readonly string[] = SERVICE_NAMES.flatMap(cDaemonUnits);

/** The process of the C daemon that stands for a service. */
export const cDaemonOf = ({ processes }: Snapshot, service: ServiceName): ProcessSeen | undefined =>
  processes.find(({ name }) => serviceOfProcess(name) === service);

/** The unit that runs the C daemon of a service. */
export const activeCUnit = ({ units }: Snapshot, service: ServiceName): string | undefined =>
  cDaemonUnits(service).find((unit) => units?.[unit]?.active === 'active');
