import { SERVICE_NAMES, type ServiceName } from '../protocol/ic/classes.ts';
import services from './services.json' with { type: 'json' };

/**
 * The names that a service has on a system. They stand in services.json, which the scripts of
 * packaging/ read, too: those run without a TypeScript loader.
 */
export interface ServiceFacts {
  /** Files of systemd/. A name with "@." is a template. */
  readonly units: readonly string[];
  /** Compiled programs that the service starts: targets of binding.gyp. */
  readonly executables?: readonly string[];
  /** Folders below /etc/vmic for an administrator's own programs. */
  readonly folders?: readonly string[];
  /** The C daemon that the service replaces. */
  readonly cDaemon?: CDaemonFacts;
}

export interface CDaemonFacts {
  /** The executable that people and tools look for in /usr/sbin. */
  readonly executable: string;
  /** Names of its process: upstream's, and Red Hat's last. */
  readonly processes: readonly string[];
  /**
   * Names of its unit, without ".service", of: Debian and Ubuntu; openSUSE, Arch and Alpine; RHEL,
   * Azure Linux and Oracle; the one of its UIO variant.
   */
  readonly units: readonly string[];
}

export const SERVICE_FACTS: Readonly<Record<ServiceName, ServiceFacts>> = services;

/** Bytes that the kernel keeps of a process's name, without the NUL (TASK_COMM_LEN). */
export const PROCESS_NAME_BYTES = 15;

/**
 * Returns the service of the C daemon whose process has this name, as the kernel keeps it. Returns
 * undefined for all other processes.
 */
export const serviceOfProcess = (process: string): ServiceName | undefined =>
  SERVICE_NAMES.find((service) =>
    SERVICE_FACTS[service].cDaemon?.processes.some(
      (name) => name.slice(0, PROCESS_NAME_BYTES) === process,
    ),
  );

/** Returns the units of a service's C daemon, in every spelling. */
export const cDaemonUnits = (service: ServiceName): readonly string[] =>
  SERVICE_FACTS[service].cDaemon?.units.map((name) => `${name}.service`) ?? [];
