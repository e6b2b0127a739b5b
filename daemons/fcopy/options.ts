import type { OptionTable } from '../../runtime/config.ts';
import { readText } from '../../runtime/files.ts';
import type { DaemonDeclaration } from '../../runtime/options.ts';
import { parseTarget } from './names.ts';
import { DEFAULT_STATUS_FILE } from './status.ts';

const PERMISSIONS = 'permissions in octal, such as "0644"';
const permissions = (value: string): string | undefined =>
  /^[0-7]{3,4}$/.test(value) ? undefined : PERMISSIONS;

/** Section [fcopy] of the configuration. */
export const fcopyOptions = {
  roots: {
    type: 'strings',
    default: ['/'],
    needsOne: true,
    check: (root: string) => {
      const parsed = parseTarget(root, 'file');
      return typeof parsed === 'string' ? `is not a folder: it is ${parsed}` : undefined;
    },
    example: ['/srv/incoming'],
    help: 'The host may copy files into these folders. No link leads out of them.',
  },
  owner: {
    type: 'string',
    default: '',
    expects: '`user` or `user:group`, by name or number, or an empty text',
    check: (value: string) => (value === '' ? undefined : badOwner(value)),
    help: 'New files and folders belong to this user and group. Empty: to root.',
  },
  mode: {
    type: 'string',
    default: '0644',
    expects: PERMISSIONS,
    check: permissions,
    help: 'New files get these permissions. A file that is replaced keeps its own.',
  },
  folder_mode: {
    type: 'string',
    default: '0755',
    expects: PERMISSIONS,
    check: permissions,
    help: 'New folders get these permissions.',
  },
  overwrite: {
    type: 'boolean',
    default: true,
    help: 'The host may replace files when it asks for that.',
  },
  max_size_mib: {
    type: 'integer',
    default: 0,
    min: 0,
    max: 2 ** 32,
    unit: 'MiB',
    help: 'The daemon refuses files that are larger. 0: no limit.',
  },
  reserve_mib: {
    type: 'integer',
    default: 0,
    min: 0,
    max: 2 ** 32,
    unit: 'MiB',
    help: 'The daemon refuses a file that would leave less space than this on its disk.',
  },
  silence_secs: {
    type: 'integer',
    default: 300,
    min: 1,
    max: 86_400,
    unit: 'seconds',
    help: 'The daemon gives a file up when nothing of it has come for this time.',
  },
  status_file: {
    type: 'path',
    default: DEFAULT_STATUS_FILE,
    help: 'The daemon writes to this file what `vmic fcopy status` reads.',
  },
} as const satisfies OptionTable;

export const daemon = {
  name: 'vmic-fcopy',
  summary: 'Takes the files that a Hyper-V host copies into a Linux guest (Copy-VMFile).',
  section: 'fcopy',
  options: fcopyOptions,
  defaultTransport: 'auto:/dev/vmbus/hv_fcopy',
} as const satisfies DaemonDeclaration;

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/**
 * "user", "user:group" or ":group" looked up; an English sentence when it can't be. Undefined:
 * nobody in particular.
 */
export function parseOwner(text: string): Owner | string | undefined {
  if (text === '') return undefined;
  const match = /^([^:]*)(?::([^:]*))?$/.exec(text);
  const [user, group] = [match?.[1] ?? '', match?.[2]];
  if (user === '' || group === '') return 'a user, or user:group';
  const account = lookUp('/etc/passwd', user);
  if (!account && !/^\d+$/.test(user)) return `a user of this system; "${user}" is none`;
  const named = group === undefined ? undefined : lookUp('/etc/group', group);
  if (group !== undefined && !named && !/^\d+$/.test(group))
    return `a group of this system; "${group}" is none`;
  const uid = account ? Number(account[2]) : Number(user);
  // The account's own group where none is named; a number without an account has none
  const gid = named
    ? Number(named[2])
    : group === undefined
      ? account
        ? Number(account[3])
        : undefined
      : Number(group);
  if (gid === undefined) return `user:group, since "${user}" has no account that tells its group`;
  return uid < MAX_ID && gid < MAX_ID ? { uid, gid } : `numbers below ${MAX_ID}`;
}

/** The last one means "leave it" to chown(2). */
const MAX_ID = 2 ** 32 - 1;

const badOwner = (text: string): string | undefined => {
  const owner = parseOwner(text);
  return typeof owner === 'string' ? owner : undefined;
};

/** The fields of a name's line, by the name alone: a number there is a number. */
function lookUp(file: string, name: string): string[] | undefined {
  // A system without names has no such file
  return (readText(file) ?? '')
    .split('\n')
    .map((line) => line.split(':'))
    .find((fields) => fields[0] === name && /^\d+$/.test(fields[2] ?? ''));
}
