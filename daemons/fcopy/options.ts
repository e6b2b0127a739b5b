import { readText } from '../../runtime/files.ts';
import { DEFAULT_STATUS_FILE } from './status.ts';

const absolutePath = (value: string): string | undefined =>
  value.startsWith('/') ? undefined : 'an absolute path';
const permissions = (value: string): string | undefined =>
  /^[0-7]{3,4}$/.test(value) ? undefined : 'permissions in octal, such as "0644"';

export const fcopyOptions = {
  roots: {
    type: 'strings',
    default: ['/'],
    help: 'folders that files may be copied into; nothing leads out of them',
  },
  owner: {
    type: 'string',
    default: '',
    help:
      'owner of new files and folders, "user" or "user:group" by name or number; empty: whom ' +
      'the service runs as (root)',
    check: (value: string) => (value === '' ? undefined : badOwner(value)),
  },
  mode: { type: 'string', default: '0644', help: 'permissions of new files', check: permissions },
  folder_mode: {
    type: 'string',
    default: '0755',
    help: 'permissions of new folders',
    check: permissions,
  },
  overwrite: { type: 'boolean', default: true, help: 'let a host replace files, when it says so' },
  max_size_mib: {
    type: 'integer',
    default: 0,
    min: 0,
    max: 2 ** 32,
    help: 'largest file that is taken, in MiB; 0: no limit',
  },
  reserve_mib: {
    type: 'integer',
    default: 0,
    min: 0,
    max: 2 ** 32,
    help: 'space that a new file has to leave free on its disk, in MiB',
  },
  silence_secs: {
    type: 'integer',
    default: 300,
    min: 1,
    max: 86_400,
    help: 'time without anything of a file after which it is given up',
  },
  status_file: {
    type: 'string',
    default: DEFAULT_STATUS_FILE,
    help: 'file that vmic fcopy status reads',
    check: absolutePath,
  },
} as const;

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
