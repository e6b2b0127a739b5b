import fs from 'node:fs';
import path from 'node:path';
import type { MessageChannel, Native, NativeError, RingChannel } from '../../native/interface.ts';
import { listFolder, readLink, readTrimmed } from '../files.ts';

/** Where a service's channel is: see `parseTransport` for the text form. */
export type Transport =
  | { readonly kind: 'chardev' | 'unix' | 'unix-ring'; readonly path: string }
  /** The char device where there is one, otherwise UIO. */
  | { readonly kind: 'auto'; readonly path: string; readonly classId: string }
  | { readonly kind: 'uio'; readonly classId: string };

/** An open channel: messages of hv_utils, or packets of the VMBus itself. */
export type OpenChannel =
  | { readonly via: 'hv_utils'; readonly channel: MessageChannel }
  | { readonly via: 'vmbus'; readonly channel: RingChannel };

export const TRANSPORT_FORMS =
  'chardev:/dev/vmbus/NAME, uio: (or uio:CLASS-GUID), auto:/dev/vmbus/NAME (that, or uio:), ' +
  'unix:PATH or unix-ring:PATH';

/** Returns the key `transport`, which every daemon's section of the configuration has. */
export const transportOption = (defaultTransport: string) =>
  ({
    type: 'string',
    default: defaultTransport,
    expects: TRANSPORT_FORMS,
    help: 'The daemon finds its channel here.',
    check: (spec: string): string | undefined => {
      const parsed = parseTransport(spec, ANY_CLASS_ID);
      return typeof parsed === 'string' ? parsed : undefined;
    },
  }) as const;

/** Stands in for the class of a service where only the form of a transport matters. */
const ANY_CLASS_ID = '00000000-0000-0000-0000-000000000000';

/**
 * Parses "kind:rest"; returns an English sentence when it can't. `ownClassId` is what a bare "uio:"
 * stands for.
 */
export function parseTransport(spec: string, ownClassId: string): Transport | string {
  const colon = spec.indexOf(':');
  const [kind, rest] = [spec.slice(0, colon), spec.slice(colon + 1)];
  switch (kind) {
    case 'chardev':
    case 'unix':
    case 'unix-ring':
      return path.isAbsolute(rest) ? { kind, path: rest } : `an absolute path after "${kind}:"`;
    case 'auto':
      return path.isAbsolute(rest)
        ? { kind, path: rest, classId: ownClassId }
        : 'an absolute path after "auto:"';
    case 'uio': {
      const classId = rest.toLowerCase().replace(/^\{|\}$/g, '') || ownClassId;
      return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(classId)
        ? { kind, classId }
        : 'a class GUID after "uio:", or nothing';
    }
    default:
      return TRANSPORT_FORMS;
  }
}

export const formatTransport = (transport: Transport): string =>
  `${transport.kind}:${transport.kind === 'uio' ? transport.classId : transport.path}`;

/** Where a channel is for good. */
export type Settled = Exclude<Transport, { readonly kind: 'auto' }>;

/** What an `auto` comes to at the moment. */
export const settleTransport = (transport: Transport): Settled => {
  if (transport.kind !== 'auto') return transport;
  return fs.existsSync(transport.path)
    ? { kind: 'chardev', path: transport.path }
    : { kind: 'uio', classId: transport.classId };
};

/** A channel that can't be opened. `waitable`: it may appear, or become free, by itself. */
export class OpenError extends Error {
  override readonly name = 'OpenError';
  readonly waitable: boolean;
  /** The channel is there, but not in user space: somebody has to bind it. */
  readonly unbound: boolean;
  constructor(message: string, waitable: boolean, cause?: unknown, unbound = false) {
    super(message, { cause });
    this.waitable = waitable;
    this.unbound = unbound;
  }
}

/** Opens a channel, or throws an OpenError that says what to do. */
export function openTransport(native: Native, wanted: Transport, sysfs = '/sys'): OpenChannel {
  const transport = settleTransport(wanted);
  try {
    switch (transport.kind) {
      case 'chardev':
        return { via: 'hv_utils', channel: native.openMessageDevice(transport.path) };
      case 'unix':
        return { via: 'hv_utils', channel: native.connectMessageSocket(transport.path) };
      case 'unix-ring':
        return { via: 'vmbus', channel: native.connectRingSocket(transport.path) };
      case 'uio': {
        const uio = findUio(transport.classId, sysfs);
        return { via: 'vmbus', channel: native.openUio(uio.path, uio.mapBytes) };
      }
    }
  } catch (error) {
    if (error instanceof OpenError) throw error;
    throw explain(transport, error as NativeError);
  }
}

function explain(transport: Transport, error: NativeError): OpenError {
  const what = formatTransport(transport);
  switch (error.code) {
    case 'ENOENT':
    case 'ENXIO':
    case 'ENODEV':
    case 'ECONNREFUSED':
      return new OpenError(
        transport.kind === 'chardev'
          ? `${transport.path} is not there: is this a Hyper-V guest, is the service switched ` +
              'on for this virtual machine, and is the hv_utils module loaded?'
          : `${what} is not there`,
        true,
        error,
      );
    case 'EBUSY':
      return new OpenError(
        `${what} is in use by another process: stop the other daemon (fuser -v ` +
          `${transport.kind === 'uio' ? '/dev/uio*' : transport.path})`,
        true,
        error,
      );
    case 'EACCES':
    case 'EPERM':
      return new OpenError(
        `${what}: permission denied: run as root, or check DeviceAllow= of the unit`,
        false,
        error,
      );
    default:
      // EBADF: hv_utils is taking the device down right now
      return new OpenError(`${what}: ${error.message}`, true, error);
  }
}

/**
 * The UIO device of the channel with this class, and the size of its ring map. Layout of sysfs:
 * /sys/bus/vmbus/devices/<instance>/{class_id, uio/uioN/maps/map0/size}; class_id reads "{guid}".
 */
export function findUio(classId: string, sysfs: string): { path: string; mapBytes: number } {
  const devices = path.join(sysfs, 'bus/vmbus/devices');
  for (const instance of listFolder(devices)) {
    const device = path.join(devices, instance);
    if (readTrimmed(path.join(device, 'class_id'))?.toLowerCase() !== `{${classId}}`) continue;
    const uio = listFolder(path.join(device, 'uio')).find((name) => /^uio\d+$/.test(name));
    if (uio === undefined) {
      const driver = readLink(path.join(device, 'driver'));
      throw new OpenError(
        `channel ${instance} (class ${classId}) is bound to ` +
          `${driver ? path.basename(driver) : 'no driver'}, not to uio_hv_generic: bind it first`,
        true,
        undefined,
        true,
      );
    }
    const mapBytes = Number(readTrimmed(path.join(device, 'uio', uio, 'maps/map0/size')));
    if (!Number.isSafeInteger(mapBytes) || mapBytes <= 0) {
      throw new OpenError(`${device}/uio/${uio}/maps/map0/size can't be read`, true);
    }
    return { path: `/dev/${uio}`, mapBytes };
  }
  throw new OpenError(
    listFolder(devices).length > 0
      ? `no VMBus channel of class ${classId}: is the service switched on for this virtual machine?`
      : 'no VMBus channels: this is no Hyper-V guest, or the hv_vmbus module is not loaded',
    true,
  );
}
