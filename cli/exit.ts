import { PoolError, type PoolErrorCode } from '../daemons/kvp/pools/index.ts';

/** Exit statuses of the `vmic` command. They are part of its interface: scripts rely on them. */
export const EXIT = {
  ok: 0,
  notFound: 1,
  usage: 2,
  permission: 3,
  damaged: 4,
  busy: 5,
  system: 6,
} as const;
export type ExitName = keyof typeof EXIT;

export const EXIT_HELP = `\
Exit status:
  0  done
  1  there is no such key or channel, the condition was not met in time, the
     service does not run, what was frozen was thawed too early, or
     vmic doctor found a problem
  2  wrong usage
  3  permission denied
  4  a pool file is damaged; what can be read of it was read
  5  another program keeps a pool file locked, has the channel open, or freezes
  6  the system refused (disk full, I/O error, a kernel that can't)`;

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
