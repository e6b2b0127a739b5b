import { formatVersion } from '../../protocol/ic/version.ts';
import { VSS_OPTIONAL_VERSIONS } from '../../protocol/vss/types.ts';
import type { OptionTable } from '../../runtime/config.ts';
import type { DaemonDeclaration } from '../../runtime/options.ts';

export const DEFAULT_STATUS_FILE = '/run/vmic/vss.json';

const ITEMS = 'Items are mount points, devices, device numbers or kinds of file systems.';

/** Section [vss] of the configuration: for the daemon, and for `vmic vss`. */
export const vssOptions = {
  include: {
    type: 'strings',
    default: [],
    help: `The daemon freezes nothing but these. Empty: all that can be frozen. ${ITEMS}`,
  },
  exclude: {
    type: 'strings',
    default: [],
    example: ['/scratch'],
    help: `The daemon does not freeze these. ${ITEMS}`,
  },
  optional: {
    type: 'strings',
    default: [],
    help: `The backup goes on when one of these can't be frozen. ${ITEMS}`,
  },
  freeze_loops: {
    type: 'boolean',
    default: false,
    help: 'The daemon also freezes file systems in files of frozen file systems (loop devices).',
  },
  limit_secs: {
    type: 'integer',
    default: 60,
    min: 5,
    max: 600,
    unit: 'seconds',
    help: 'The guard thaws everything when the host has said nothing for this time.',
  },
  hooks_directories: {
    type: 'strings',
    default: ['/etc/vmic/vss.d'],
    example: ['/etc/vmic/vss.d', '/etc/qemu/fsfreeze-hook.d'],
    help:
      'The daemon runs the executables in these folders, with `freeze` before a freeze and with ' +
      '`thaw` after it; see vmic-hooks(7).',
  },
  hook_timeout_secs: {
    type: 'integer',
    default: 30,
    min: 1,
    max: 600,
    unit: 'seconds',
    help: 'A hook that takes longer has failed. All hooks before a freeze have ten minutes.',
  },
  optional_hooks: {
    type: 'strings',
    default: [],
    help: 'The backup goes on when a hook of one of these names fails.',
  },
  offer_versions: {
    type: 'strings',
    default: [],
    choices: VSS_OPTIONAL_VERSIONS.map(formatVersion),
    help:
      'The daemon offers these versions of the protocol beside 5.0, over VMBus. It answers what ' +
      'they add with "not supported".',
  },
  status_file: {
    type: 'path',
    default: DEFAULT_STATUS_FILE,
    help: 'The daemon writes to this file what `vmic vss status` reads.',
  },
  record_file: {
    type: 'path',
    default: '/run/vmic/vss-frozen',
    help:
      'The guard notes in this file what it has frozen. The file has to be on a tmpfs, because ' +
      'disks may be frozen.',
  },
} as const satisfies OptionTable;

export const daemon = {
  name: 'vmic-vss',
  summary: 'Freezes the file systems of a Linux guest while its Hyper-V host takes a snapshot.',
  section: 'vss',
  options: vssOptions,
  defaultTransport: 'chardev:/dev/vmbus/hv_vss',
} as const satisfies DaemonDeclaration;
