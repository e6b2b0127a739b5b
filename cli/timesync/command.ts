import { DEFAULT_STATUS_FILE } from '../../daemons/timesync/status.ts';
import { JSON_OBJECT } from '../arguments.ts';
import { command, group } from '../command.ts';
import { timesyncStatus } from './status.ts';

const statusCommand = command({
  usage: 'status',
  about: "Print how the guest's clock is kept right",
  options: (y) =>
    y
      .option('json', JSON_OBJECT)
      .option('status-file', {
        type: 'string',
        requiresArg: true,
        default: DEFAULT_STATUS_FILE,
        describe: 'what vmic-timesync writes',
      })
      .epilog(
        'Exit status 1 when vmic-timesync does not run. Modes:\n' +
          '  discipline  the clock is slewed by the samples of the host\n' +
          '  chrony      the samples are given to chronyd, which disciplines the clock\n' +
          '  observe     another program disciplines the clock\n' +
          'In all of them the clock is set when the host orders it, or when this guest ' +
          'was suspended.\n' +
          'To choose another: mode = "..." in section [timesync] of /etc/vmic/config.toml.',
      ),
  run: (around, { statusFile, json }) => timesyncStatus(around, statusFile, json),
});

export const timesyncCommand = group({
  usage: 'timesync',
  about: 'Time synchronization with the host',
  options: (y) => y,
  commands: [statusCommand],
});
