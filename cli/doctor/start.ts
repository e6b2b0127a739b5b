import type { ServiceName } from '../../protocol/ic/classes.ts';
import type { Snapshot } from '../status/snapshot.ts';
import { FCOPY_CHANNEL_UNIT, serviceUnit, socketInstance, socketUnit } from '../status/units.ts';

/** True if hv_utils passes the service's requests on. Otherwise its channel goes to user space. */
export const hasUtilsDevice = ({ utilsDevices }: Snapshot, service: ServiceName): boolean =>
  utilsDevices.includes(`hv_${service}`);

export const hasSocketUnit = ({ units }: Snapshot, service: ServiceName): boolean =>
  units !== undefined && Object.hasOwn(units, socketUnit(service));

/** The commands after which vmic answers a service. */
export function startCommands(snapshot: Snapshot, service: ServiceName): string[] {
  const onDemand = service === 'vss' || service === 'fcopy';
  if (!onDemand || !hasSocketUnit(snapshot, service))
    return [`systemctl enable --now ${serviceUnit(service)}`];
  const socket = socketUnit(service);
  // From Linux 6.10 on file copies have no char device: an instance of another unit has their UIO
  // device
  if (service !== 'fcopy' || hasUtilsDevice(snapshot, service))
    return [`systemctl enable --now ${socket}`];
  const device = snapshot.channels.fcopy?.device;
  return [
    `systemctl enable ${socket}`,
    device === undefined
      ? `systemctl enable --now ${FCOPY_CHANNEL_UNIT}`
      : `systemctl start ${socketInstance('fcopy', device.replace('/dev/', ''))}`,
  ];
}
