/**
 * What packages hold. One entry of SERVICES is all that a further service takes: its program,
 * units, presets, man page and the names of the C daemon it replaces follow from it.
 */

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { capture, root } from '../scripts/support.mjs';

/**
 * name        daemons/NAME, bin/vmic-NAME, systemd/vmic-NAME.{service,socket}
 * daemon      the C daemon's executable, a name people and tools look for
 * units       the C daemon's unit in every spelling, of: Debian and Ubuntu; openSUSE, Arch and
 *             Alpine; RHEL, Azure Linux and Oracle
 * executables compiled programs that the service starts, targets of binding.gyp
 * folders     for an administrator's own programs, below /etc/vmic
 */
const ALL_SERVICES = [
  { name: 'kvp', daemon: 'hv_kvp_daemon', units: ['hv-kvp-daemon', 'hv_kvp_daemon', 'hypervkvpd'] },
  { name: 'heartbeat', folders: ['health.d'] },
  { name: 'shutdown', folders: ['shutdown.d'] },
  { name: 'timesync' },
  {
    name: 'vss',
    daemon: 'hv_vss_daemon',
    units: ['hv-vss-daemon', 'hv_vss_daemon', 'hypervvssd'],
    executables: ['vmic-vss-guard'],
    folders: ['vss.d'],
  },
  {
    name: 'fcopy',
    daemon: 'hv_fcopy_daemon',
    units: ['hv-fcopy-daemon', 'hv_fcopy_daemon', 'hypervfcopyd', 'hv-fcopy-uio-daemon'],
  },
];

/** Those whose program there is. */
export const SERVICES = ALL_SERVICES.filter(({ name }) =>
  existsSync(join(root, `daemons/${name}/main.ts`)),
).map((service) => ({ units: [], executables: [], folders: [], ...service }));

/** Folders that are there, though empty. */
export const FOLDERS = ['config.toml.d', ...SERVICES.flatMap(({ folders }) => folders)].map(
  (name) => `etc/vmic/${name}`,
);

/** Scripts that an administrator may change: where they go -> where they are here. */
export const CONFIGURATION = { 'etc/cloud/clean.d/80-vmic': 'packaging/cloud-init/80-vmic' };

/**
 * Unit names of the C daemons, of services that are no part of vmic yet, too: their packages are
 * replaced as a whole.
 */
export const C_UNITS = ALL_SERVICES.flatMap(({ units = [] }) => units);

/** Packages that hold the C daemons. */
export const C_PACKAGES = [
  'hyperv-daemons',
  'linux-cloud-tools-common',
  'hyperv-tools',
  'hypervkvpd',
  'hypervvssd',
  'hypervfcopyd',
];

/** Bundled programs: those of the services, and the command. */
export const PROGRAMS = ['vmic', ...SERVICES.map(({ name }) => `vmic-${name}`)];
export const EXECUTABLES = SERVICES.flatMap(({ executables }) => executables);

/** Units of ours, sockets first: a package that is removed stops them in this order. */
export const UNITS = readdirSync(join(root, 'systemd'))
  .filter((file) =>
    SERVICES.some(({ name }) =>
      new RegExp(`^vmic-${name}(-\\w+)?@?\\.(service|socket|timer)$`).test(file),
    ),
  )
  .sort(
    (a, b) => Number(a.endsWith('.service')) - Number(b.endsWith('.service')) || (a < b ? -1 : 1),
  );

/** Those that can be enabled. */
export const INSTALLED_UNITS = UNITS.filter((name) =>
  /^\[Install\]/m.test(readFileSync(join(root, 'systemd', name), 'utf8')),
);

const project = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
export const DESCRIPTION = project.description;
/** A distribution's own number may follow that of vmic: VMIC_PACKAGE_VERSION=0.1.0+1. */
export const VERSION = process.env.VMIC_PACKAGE_VERSION ?? project.version;

/** Seconds; of the last commit, so that everybody who builds it gets the same bytes. */
export const SOURCE_DATE_EPOCH = Number(
  process.env.SOURCE_DATE_EPOCH ?? capture('git', ['log', '-1', '--format=%ct'])?.trim() ?? 0,
);

/**
 * Debian's names of architectures -> those of RPM, of Node.js, and the prefix of the compilers'.
 */
export const ARCHITECTURES = {
  amd64: { rpm: 'x86_64', node: 'x64', triplet: 'x86_64-linux-gnu' },
  arm64: { rpm: 'aarch64', node: 'arm64', triplet: 'aarch64-linux-gnu' },
};

/** This machine's, if packages can be for it. */
export const NATIVE_ARCH = Object.keys(ARCHITECTURES).find(
  (arch) => ARCHITECTURES[arch].node === process.arch,
);

/** The two packages: one uses the distribution's Node.js, the other brings its own. */
export const FLAVOURS = {
  vmic: { interpreter: '/usr/bin/node' },
  'vmic-bundled-node': { interpreter: '/usr/lib/vmic/node' },
};

/** The oldest Node.js that will do. */
export const NODE_MIN = '20.19';

/** What is said about both flavours, in lines. */
export const ABOUT = [
  'vmic answers what a Hyper-V host asks of a Linux guest. It takes the place of',
  'the C daemons hv_kvp_daemon, hv_vss_daemon and hv_fcopy_daemon and, where it',
  'is told to, of what the kernel answers by itself: heartbeat, shutdown and',
  'time. The command vmic reads and writes the values that host and guest',
  'exchange.',
];

/**
 * From the npm registry, where Node.js's own builds lie as packages. Integrity is that registry's,
 * checked after the download.
 */
export const BUNDLED_NODE = {
  version: '24.21.0',
  integrity: {
    x64: 'sha512-3nULszZ5X0fciYpG0t6TrdApJzAn8+FlINP6OiMX7V8HrvpATPN936U1LlReOJriLRa4e8yEqQBYCnLyPNAs7Q==',
    arm64:
      'sha512-FpJRPEz2OvvTLfjIOlNGFY9JLPMKgl5m+d4oGYBLg24kJ1mmvN1Zl/HPJgF4HDaJ51ISev1l1cRZ/DM+keXW5g==',
  },
};

/** Of packages built here; distributions put their own. */
export const MAINTAINER =
  process.env.VMIC_MAINTAINER ?? 'The vmic authors <vmic@localhost.localdomain>';
