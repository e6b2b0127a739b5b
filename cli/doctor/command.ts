import { JSON_OBJECT, once } from '../arguments.ts';
import { command } from '../command.ts';

export const doctorCommand = command({
  usage: 'doctor',
  about: 'Find what is wrong, and say what mends it',
  options: (y) =>
    y
      .option('json', {
        ...JSON_OBJECT,
        describe: 'print one JSON object, with all that was looked at',
      })
      .option('all', { type: 'boolean', default: false, describe: 'print notes, too' })
      .option('explain', {
        type: 'string',
        requiresArg: true,
        coerce: once('explain'),
        describe: 'explain what a host shows, e.g. 0x800710DF or "No Contact"',
      })
      .example('$0 doctor --explain "No Contact"', '')
      .epilog(
        'Root sees more (denials by SELinux or AppArmor). Changes nothing.\n' +
          'Exit status: 0 nothing is wrong, 1 there is a problem, or no VMBus; warnings ' +
          'do not count.',
      ),
  run: async (around, { json, all, explain: code }) => {
    const { doctor, explain } = await import('./show.ts');
    if (code !== undefined) return explain(around, code, json);
    const { snapshotThisMachine } = await import('../status/this-machine.ts');
    return doctor(around, await snapshotThisMachine(around), { json, all });
  },
});
