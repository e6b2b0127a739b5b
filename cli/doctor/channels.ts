import { cDaemonOf } from '../status/c-daemons.ts';
import { answersInKernel } from '../status/status.ts';
import { serviceUnit } from '../status/units.ts';
import { type Check, eachService, type ServiceCheck } from './finding.ts';
import { HOST_NAMES, inWords } from './names.ts';
import { hasSocketUnit, hasUtilsDevice, startCommands } from './start.ts';

const hvUtilsMissing: Check = ({ snapshot: { modules, channels } }) =>
  modules.includes('hv_utils') ||
  Object.values(channels).every(({ driver }) => driver === 'uio_hv_generic')
    ? []
    : [
        {
          id: 'hv-utils-missing',
          severity: 'problem',
          title: 'The module hv_utils is not loaded.',
          explanation:
            'It answers heartbeat, shutdown and time, and makes the devices for data ' +
            'exchange and backups. Some minimal kernels leave it out: then install the full one.',
          mend: ['modprobe hv_utils'],
        },
      ];

const noChannels: Check = ({ lines }) =>
  lines.some(({ channel }) => channel !== undefined)
    ? []
    : [
        {
          id: 'no-channels',
          severity: 'problem',
          title: 'There is a VMBus, but no channel of an integration service.',
          explanation:
            'They are switched off for this virtual machine, or this is WSL, which has none.',
          mend: ['# on the host: Enable-VMIntegrationService -VMName NAME -Name *'],
        },
      ];

const switchedOff: Check = (look) =>
  look.lines.some(({ channel }) => channel !== undefined) ? eachService(isSwitchedOff)(look) : [];

const isSwitchedOff: ServiceCheck = ({ service, channel }, snapshot) =>
  channel !== undefined || cDaemonOf(snapshot, service) !== undefined
    ? undefined
    : {
        id: 'switched-off',
        severity: 'note',
        service,
        title: `The service ${service} is switched off for this virtual machine.`,
        explanation:
          service === 'fcopy'
            ? 'That is the default for file copies ("Guest Service Interface").'
            : 'Only the host can switch it on.',
        mend: [
          '# on the host: Enable-VMIntegrationService -VMName NAME -Name ' +
            `"${HOST_NAMES[service]}"`,
        ],
      };

const fcopyChannelUnbound: ServiceCheck = ({ service, channel, owner }, snapshot) =>
  channel === undefined || owner !== undefined || service !== 'fcopy'
    ? undefined
    : {
        id: 'channel-unbound',
        severity: 'problem',
        service,
        title: 'The channel of file copies is bound to no driver.',
        explanation:
          `hv_utils has no file copy since Linux 6.10 (this is ${snapshot.kernel}), and not ` +
          'every kernel since gives the channel to user space by itself. Copy-VMFile fails ' +
          'with 0x800710DF.',
        mend: hasSocketUnit(snapshot, 'fcopy')
          ? startCommands(snapshot, service)
          : ['vmic bind fcopy'],
      };

const channelUnbound: ServiceCheck = ({ service, channel, owner }) =>
  channel === undefined || owner !== undefined || service === 'fcopy'
    ? undefined
    : {
        id: 'channel-unbound',
        severity: 'problem',
        service,
        title: `The channel of ${service} is bound to no driver.`,
        explanation: 'Nobody answers; a host shows "No Contact".',
        mend: [`vmic release ${service}`],
      };

const userSpaceSilent: ServiceCheck = ({ service, answerer, owner, device }, snapshot) =>
  answerer !== 'nobody' || owner !== 'uio_hv_generic'
    ? undefined
    : {
        id: 'user-space-silent',
        severity: 'problem',
        service,
        title:
          `The channel of ${service} is in user space (${device ?? 'no device yet'}), ` +
          'and no daemon answers.',
        explanation:
          'The kernel does not answer in its place; a host shows "No Contact" or "Lost ' +
          'Communication".',
        mend: answersInKernel(service)
          ? [`systemctl start ${serviceUnit(service)}`, `# or: vmic release ${service}`]
          : startCommands(snapshot, service),
      };

const deviceMissing: ServiceCheck = ({ service, answerer, owner }, snapshot) =>
  answerer !== 'nobody' || owner !== 'hv_utils' || hasUtilsDevice(snapshot, service)
    ? undefined
    : {
        id: 'device-missing',
        severity: 'problem',
        service,
        title:
          `hv_utils has the channel of ${service}, but there is no ` + `/dev/vmbus/hv_${service}.`,
        explanation:
          'The device is made when the channel is found; without it no daemon can register.',
        mend: ['modprobe -r hv_utils', 'modprobe hv_utils'],
      };

const noDaemon: ServiceCheck = ({ service, answerer, owner }, snapshot) =>
  answerer !== 'nobody' || owner !== 'hv_utils' || !hasUtilsDevice(snapshot, service)
    ? undefined
    : {
        id: 'no-daemon',
        // What nobody uses need not be answered
        severity: service === 'kvp' ? 'problem' : 'warning',
        service,
        title: `No daemon answers ${inWords(service)}.`,
        explanation:
          'hv_utils passes these requests to a program that has registered on ' +
          `/dev/vmbus/hv_${service}; none has. A host's requests fail.`,
        mend: startCommands(snapshot, service),
      };

export const channelChecks: readonly Check[] = [
  hvUtilsMissing,
  noChannels,
  switchedOff,
  eachService(fcopyChannelUnbound, channelUnbound),
  eachService(userSpaceSilent, deviceMissing, noDaemon),
];
