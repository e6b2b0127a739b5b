import { JSON_OBJECT } from '../arguments.ts';
import { command } from '../command.ts';

export const statusCommand = command({
  usage: 'status',
  about: 'Print who answers each service, and how',
  options: (y) =>
    y
      .option('json', JSON_OBJECT)
      .epilog(
        'Needs no root. Exit status 1 when there is no VMBus: no Hyper-V guest, or ' +
          'hv_vmbus is not loaded.',
      ),
  run: async (around, { json }) => {
    const { showStatus } = await import('./show.ts');
    const { snapshotThisMachine } = await import('./this-machine.ts');
    return showStatus(around, await snapshotThisMachine(around), json);
  },
});
