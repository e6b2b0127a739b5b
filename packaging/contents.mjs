/**
 * What packages hold. One entry of runtime/services.json is all that a further service takes: its
 * program, units, presets, man page and the names of the C daemon it replaces follow from it.
 */

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { capture, root } from '../scripts/support.mjs';

/** What runtime/services.ts describes. */
const FACTS = JSON.parse(readFileSync(join(root, 'runtime/services.json'), 'utf8'));

/**
 * Those whose program there is: daemons/NAME, bin/vmic-NAME. `daemon` and `units` are names of the
 * C daemon.
 */
export const SERVICES = Object.entries(FACTS)
  .filter(([name]) => existsSync(join(root, `daemons/${name}/main.ts`)))
  .map(([name, { cDaemon, executables = [], folders = [] }]) => ({
    name,
    ...(cDaemon === undefined ? {} : { daemon: cDaemon.executable }),
    units: cDaemon?.units ?? [],
    executables,
    folders,
  }));

/** Folders that are there, though empty. */
export const FOLDERS = ['config.toml.d', ...SERVICES.flatMap(({ folders }) => folders)].map(
  (name) => `etc/vmic/${name}`,
);

/**
 * Documents for users and operators, below docs/. The others are for those who have the sources.
 */
export const DOCUMENTS = [
  'install.md',
  ...SERVICES.map(({ name }) => `${name}.md`),
  'configuration.md',
  'channels.md',
  'troubleshooting.md',
  'security.md',
  'measurements.md',
  'pictures/status.svg',
];

/** Scripts that an administrator may change: where they go -> where they are here. */
export const CONFIGURATION = { 'etc/cloud/clean.d/80-vmic': 'packaging/cloud-init/80-vmic' };

/**
 * Unit names of the C daemons, of services that are no part of vmic yet, too: their packages are
 * replaced as a whole.
 */
export const C_UNITS = Object.values(FACTS).flatMap(({ cDaemon }) => cDaemon?.units ?? []);

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
export const UNITS = SERVICES.flatMap(({ name }) => FACTS[name].units).sort(
  (a, b) => Number(a.endsWith('.service')) - Number(b.endsWith('.service')) || (a < b ? -1 : 1),
);

/** Those that can be enabled. */
export const INSTALLED_UNITS = UNITS.filter((name) =>
  /^\[Install\]/m.test(readFileSync(join(root, 'systemd', name), 'utf8')),
);

const project = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
export const DESCRIPTION = project.description;
/** A distribution's own number may follow that of vmic: VMIC_PACKAGE_VERSION=X.Y.Z+1. */
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
