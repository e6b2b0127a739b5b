import type { ServiceName } from '../../protocol/ic/classes.ts';

const WORDS: Readonly<Partial<Record<ServiceName, string>>> = {
  kvp: 'data exchange (KVP)',
  vss: 'backups (VSS)',
  fcopy: 'file copies',
};

/** What a service is for, as the title of a finding names it. */
export const inWords = (service: ServiceName): string => WORDS[service] ?? service;

/** As PowerShell's Get-VMIntegrationService names the services. */
export const HOST_NAMES: Readonly<Record<ServiceName, string>> = {
  heartbeat: 'Heartbeat',
  shutdown: 'Shutdown',
  timesync: 'Time Synchronization',
  kvp: 'Key-Value Pair Exchange',
  vss: 'VSS',
  fcopy: 'Guest Service Interface',
};
