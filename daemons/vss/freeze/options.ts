import type { OptionTable } from '../../../runtime/config.ts';

export const DEFAULT_STATUS_FILE = '/run/vmic/vss.json';

const absolute = (value: string): string | undefined =>
  value.startsWith('/') ? undefined : 'an absolute path';

const ITEMS = 'mount points, device paths, device numbers or kinds of file systems';

/** The section [vss]: for the service, and for the command. */
export const vssOptions = {
  include: { type: 'strings', default: [], help: `freeze nothing but these: ${ITEMS}` },
  exclude: { type: 'strings', default: [], help: `leave these alone: ${ITEMS}` },
  optional: {
    type: 'strings',
    default: [],
    help: `what may fail without failing the rest: ${ITEMS}`,
  },
  freeze_loops: {
    type: 'boolean',
    default: false,
    help: 'freeze file systems in files of frozen file systems, too (loop devices)',
  },
  limit_secs: {
    type: 'integer',
    default: 60,
    min: 5,
    max: 600,
    help: 'time after which everything is thawed when the host says nothing',
  },
  hooks_directories: {
    type: 'strings',
    default: ['/etc/vmic/vss.d'],
    help:
      'folders of executables that are called with "freeze" before and "thaw" after, e.g. also ' +
      '/etc/qemu/fsfreeze-hook.d',
  },
  hook_timeout_secs: {
    type: 'integer',
    default: 30,
    min: 1,
    max: 600,
    help: 'time one hook may take',
  },
  optional_hooks: {
    type: 'strings',
    default: [],
    help: 'names of hooks that may fail without failing the backup',
  },
  offer_versions: {
    type: 'strings',
    default: [],
    help:
      'protocol versions offered beside 5.0, of 6.0 and 7.0; what they add is answered "not ' +
      'supported"',
  },
  status_file: {
    type: 'string',
    default: DEFAULT_STATUS_FILE,
    help: 'what "vmic vss status" reads',
    check: absolute,
  },
  record_file: {
    type: 'string',
    default: '/run/vmic/vss-frozen',
    help: 'what is being frozen while it is; has to be on a tmpfs',
    check: absolute,
  },
} as const satisfies OptionTable;
