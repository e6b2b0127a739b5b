import type { OptionTable } from '../../../runtime/config.ts';
import { DEFAULT_POOL_DIRECTORY } from './pools.ts';

/**
 * Section [kvp] of the configuration: the daemon's, and the command looks up where the pools are.
 */
export const kvpOptions = {
  pool_directory: {
    type: 'string',
    default: DEFAULT_POOL_DIRECTORY,
    help: 'folder of the pool files',
    check: (value: string) => (value.startsWith('/') ? undefined : 'an absolute path'),
  },
  offer_version_5: {
    type: 'boolean',
    default: false,
    help: 'offer version 5.0 to hosts as well, over VMBus',
  },
} as const satisfies OptionTable;
