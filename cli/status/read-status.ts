import { CommandError } from '../exit.ts';

/** What `read` makes of a daemon's status file. Ends the command if the file can't be read. */
export function readStatusFile<Status>(
  file: string,
  read: (file: string) => Status | undefined,
): Status | undefined {
  try {
    return read(file);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw code === 'EACCES' || code === 'EPERM'
      ? new CommandError('permission', `${file}: permission denied`)
      : new CommandError('system', message);
  }
}
