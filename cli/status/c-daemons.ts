import type { ServiceName } from '../../protocol/ic/classes.ts';
import type { ProcessSeen, Snapshot } from './snapshot.ts';

interface CDaemon {
  readonly service: ServiceName;
  /** Names of its process as the kernel keeps them: 15 characters at most. */
  readonly processes: readonly string[];
  /** Its units: of Debian and Ubuntu; of openSUSE, Arch and Alpine; of Red Hat. */
  readonly units: readonly string[];
}

/** The C daemons that vmic replaces: upstream's and Red Hat's. */
const C_DAEMONS: readonly CDaemon[] = [
  {
    service: 'kvp',
    processes: ['hv_kvp_daemon', 'hypervkvpd'],
    units: ['hv-kvp-daemon.service', 'hv_kvp_daemon.service', 'hypervkvpd.service'],
  },
  {
    service: 'vss',
    processes: ['hv_vss_daemon', 'hypervvssd'],
    units: ['hv-vss-daemon.service', 'hv_vss_daemon.service', 'hypervvssd.service'],
  },
  {
    service: 'fcopy',
    // The second one is hv_fcopy_uio_daemon
    processes: ['hv_fcopy_daemon', 'hv_fcopy_uio_da', 'hypervfcopyd'],
    units: [
      'hv-fcopy-daemon.service',
      'hv_fcopy_daemon.service',
      'hypervfcopyd.service',
      'hv-fcopy-uio-daemon.service',
    ],
  },
];

export const C_UNITS: readonly string[] = C_DAEMONS.flatMap(({ units }) => units);

/** The service that a C daemon stands for. Undefined for any other process. */
export const serviceOfCDaemon = (process: string): ServiceName | undefined =>
  C_DAEMONS.find(({ processes }) => processes.includes(process))?.service;

/** The process of the C daemon that stands for a service. */
export const cDaemonOf = ({ processes }: Snapshot, service: ServiceName): ProcessSeen | undefined =>
  processes.find(({ name }) => serviceOfCDaemon(name) === service);

/** The unit that runs the C daemon of a service. */
export const activeCUnit = ({ units }: Snapshot, service: ServiceName): string | undefined =>
  C_DAEMONS.filter((one) => one.service === service)
    .flatMap((one) => one.units)
    .find((unit) => units?.[unit]?.active === 'active');
