import { PoolError, type PoolErrorCode } from '../daemons/kvp/pools/index.ts';
import { type ExitStatus, numbersOf } from '../runtime/exit-statuses.ts';
import { plain, wrap } from '../runtime/text.ts';

/** Exit statuses of the `vmic` command. They are part of its interface: scripts rely on them. */
export const EXIT_STATUSES = {
  ok: { status: 0, meaning: 'done' },
  notFound: {
    status: 1,
    meaning:
      'there is no such key or channel, the condition was not met in time, the service does not ' +
      'run, what was frozen was thawed too early, or `vmic doctor` found a problem',
  },
  usage: { status: 2, meaning: 'wrong usage' },
  permission: { status: 3, meaning: 'permission denied' },
  damaged: {
    status: 4,
    meaning: 'a pool file is damaged; what can be read of it was read',
  },
  busy: {
    status: 5,
    meaning: 'another program keeps a pool file locked, has the channel open, or freezes',
  },
  system: {
    status: 6,
    meaning: "the system refused (disk full, I/O error, a kernel that can't)",
  },
} as const satisfies Readonly<Record<string, ExitStatus>>;

export const EXIT = numbersOf(EXIT_STATUSES);
export type ExitName = keyof typeof EXIT;

export const EXIT_HELP = [
  'Exit status:',
  ...Object.values(EXIT_STATUSES).flatMap(({ status, meaning }) =>
    wrap(plain(meaning), { columns: 79, indent: '     ' }).map((line, i) =>
      i === 0 ? `  ${status}  ${line.trimStart()}` : line,
    ),
  ),
].join('\n');

/** Ends a command with a message and one of the statuses above. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
  readonly exit: ExitName;

  constructor(exit: ExitName, message: string) {
    super(message);
    this.exit = exit;
  }
}

const EXIT_OF: Readonly<Record<PoolErrorCode, ExitName>> = {
  locked: 'busy',
  invalid: 'usage',
  diskFull: 'system',
  readOnly: 'permission',
  io: 'system',
};

/**
 * What a command failed with, in words and as a status; an error that is none of ours is thrown on.
 */
export function toCommandError(error: unknown): CommandError {
  if (error instanceof CommandError) return error;
  if (!(error instanceof PoolError)) throw error;
  const cause = (error.cause as NodeJS.ErrnoException | undefined)?.code;
  if (cause === 'EACCES' || cause === 'EPERM') {
    const advice = process.getuid?.() === 0 ? '' : '; try it as root (sudo)';
    return new CommandError('permission', `${error.path}: permission denied${advice}`);
  }
  return new CommandError(EXIT_OF[error.code], error.message);
}
