import type { OptionTable } from '../../runtime/config.ts';
import type { DaemonDeclaration } from '../../runtime/options.ts';
import { DEFAULT_POOL_DIRECTORY } from './pools/pools.ts';

/** Section [kvp] of the configuration. `vmic kvp` looks up there where the pools are. */
export const kvpOptions = {
  pool_directory: {
    type: 'path',
    default: DEFAULT_POOL_DIRECTORY,
    example: '/srv/kvp',
    help:
      'The daemon keeps the pool files in this folder, and `vmic kvp` reads them there. ' +
      'The unit has to allow any other folder by `ReadWritePaths=`.',
  },
  offer_version_5: {
    type: 'boolean',
    default: false,
    help:
      'The daemon offers KVP 5.0 (binary IP addresses) to hosts as well, over VMBus. No host was ' +
      'seen to use it yet.',
  },
} as const satisfies OptionTable;

export const daemon = {
  name: 'vmic-kvp',
  summary: 'Answers the Hyper-V data exchange service (KVP) of a Linux guest.',
  section: 'kvp',
  options: kvpOptions,
  defaultTransport: 'chardev:/dev/vmbus/hv_kvp',
} as const satisfies DaemonDeclaration;
