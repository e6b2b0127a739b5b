import { DEFAULT_STATUS_FILE } from '../../daemons/fcopy/status.ts';
import { JSON_OBJECT } from '../arguments.ts';
import { command, group } from '../command.ts';
import { fcopyStatus } from './status.ts';

const statusCommand = command({
  usage: 'status',
  about: 'Print what is being copied, how far it is, and what became of the last ones',
  options: (y) =>
    y
      .option('json', JSON_OBJECT)
      .option('status-file', {
        type: 'string',
        requiresArg: true,
        default: DEFAULT_STATUS_FILE,
        describe: 'what vmic-fcopy writes, at most once a second',
      })
      .epilog('Exit status 1 when vmic-fcopy neither runs nor is started by requests.'),
  run: (around, { statusFile, json }) => fcopyStatus(around, statusFile, json),
});

export const fcopyCommand = group({
  usage: 'fcopy',
  about: 'Files that the host copies into this guest',
  options: (y) => y,
  commands: [statusCommand],
});
