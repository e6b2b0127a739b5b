import type { Argv } from 'yargs';
import { SERVICE_NAMES, type ServiceName } from '../../protocol/ic/classes.ts';
import { command } from '../command.ts';
import type { Surroundings } from '../surroundings.ts';

const channelArguments = (y: Argv<object>) =>
  y
    .positional('service', {
      type: 'string',
      choices: SERVICE_NAMES,
      demandOption: true,
      describe: 'the service whose channel it is',
    })
    .option('json', { type: 'boolean', default: false, describe: 'print JSON' });

/** Needs no addon: a channel can be given back even if nothing else works. */
async function move(
  around: Surroundings,
  how: 'bind' | 'release',
  { service, ...options }: { service: ServiceName; json: boolean; ifUnbound?: boolean },
): Promise<number> {
  const { SysfsVmbus } = await import('../../runtime/vmbus/index.ts');
  const { moveChannel } = await import('./move-channel.ts');
  const { sysfs } = around;
  const vmbus = new SysfsVmbus(sysfs === undefined ? {} : { sysfs });
  return moveChannel(around, vmbus, how, service, options);
}

export const bindCommand = command({
  usage: 'bind <service>',
  about: "Give a service's VMBus channel to user space",
  options: (y: Argv<object>) =>
    channelArguments(y)
      .option('if-unbound', {
        type: 'boolean',
        default: false,
        describe: 'only a channel that no driver has, such as that of fcopy from Linux 6.10 on',
      })
      .epilog(
        'The channel moves from hv_utils to uio_hv_generic, so that vmic-SERVICE can ' +
          'answer over UIO.\n' +
          'Undone completely when it fails. Takes root, and a kernel from about 6.12 on.',
      ),
  run: (around, { service, json, ifUnbound }) =>
    move(around, 'bind', { service: service as ServiceName, json, ifUnbound }),
});

export const releaseCommand = command({
  usage: 'release <service>',
  about: "Give a service's VMBus channel back to the kernel",
  options: (y: Argv<object>) =>
    channelArguments(y).epilog(
      'From then on hv_utils answers by itself. Nothing happens when it does already. ' +
        'Takes root.',
    ),
  run: (around, { service, json }) =>
    move(around, 'release', { service: service as ServiceName, json }),
});
