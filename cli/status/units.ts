import { SERVICE_NAMES, type ServiceName } from '../../protocol/ic/classes.ts';
import { SERVICE_FACTS } from '../../runtime/services.ts';

/** The units of a service. An on-demand service has a socket unit, too. */
export const serviceUnit = (service: ServiceName): string => `vmic-${service}.service`;
export const socketUnit = (service: ServiceName): string => `vmic-${service}.socket`;

/** An instance for a UIO device. `device` is a name in /dev, or a pattern of names. */
export const socketInstance = (service: ServiceName, device: string): string =>
  `vmic-${service}@${device}.socket`;

/** Gives the channel of file copies to user space, from Linux 6.10 on. */
export const FCOPY_CHANNEL_UNIT = 'vmic-fcopy-channel.service';

/** Units of vmic, as arguments of systemctl: of a template, the instances that are loaded. */
export const VMIC_UNITS: readonly string[] = SERVICE_NAMES.flatMap((service) =>
  SERVICE_FACTS[service].units.map((unit) => unit.replace('@.', '@*.')),
);

/** The service that a unit of vmic belongs to. */
export const serviceOfUnit = (unit: string): ServiceName | undefined =>
  SERVICE_NAMES.find((service) => new RegExp(`^vmic-${service}[-@.]`).test(unit));

/** True for the socket unit of a service, and for its instances. */
export const isSocketOf = (unit: string, service: ServiceName): boolean =>
  new RegExp(`^vmic-${service}(@.*)?\\.socket$`).test(unit);
