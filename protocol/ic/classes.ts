/**
 * Class GUIDs of the integration services, lower case without braces: what a channel is found by,
 * since instance GUIDs may differ. Source: include/linux/hyperv.h (HV_HEART_BEAT_GUID and
 * following).
 */
export const SERVICE_CLASSES = {
  heartbeat: '57164f39-9115-4e78-ab55-382f3bd5422d',
  shutdown: '0e0b6031-5213-4934-818b-38d90ced39db',
  timesync: '9527e630-d0ae-497b-adce-e80ab0175caf',
  kvp: 'a9a0f4e7-5a45-4d96-b827-8a841e8c03e6',
  vss: '35fa2e29-ea23-4236-96ae-3a6ebacba440',
  fcopy: '34d14be3-dee4-41c8-9ae7-6b174977c192',
} as const;

export type ServiceName = keyof typeof SERVICE_CLASSES;
export const SERVICE_NAMES = Object.keys(SERVICE_CLASSES) as readonly ServiceName[];
