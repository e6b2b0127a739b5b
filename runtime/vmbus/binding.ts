import { SERVICE_CLASSES, type ServiceName } from '../../protocol/ic/classes.ts';
import {
  IN_KERNEL,
  IN_USER_SPACE,
  MAX_STEPS,
  nextStep,
  type Place,
  type Step,
  USER_SPACE_DRIVER,
} from './plan.ts';
import type { BindingPorts } from './sysfs.ts';

/**
 * - absent: there is no such channel.
 * - permission: only root may do this.
 * - busy: a process has the channel's device open.
 * - unable: this kernel can't.
 * - failed: anything else.
 */
export type BindingErrorCode = 'absent' | 'permission' | 'busy' | 'unable' | 'failed';

/** A channel that was not moved. It is where it was before, unless the message says otherwise. */
export class BindingError extends Error {
  override readonly name = 'BindingError';
  readonly code: BindingErrorCode;

  constructor(code: BindingErrorCode, message: string, cause?: unknown) {
    super(message, { cause });
    this.code = code;
  }
}

export interface Moved {
  readonly service: ServiceName;
  /** The channel's name: its instance GUID. */
  readonly channel: string;
  readonly driver: string;
  /** Whose it was before; undefined: nobody's. */
  readonly previousDriver: string | undefined;
  /** False: it was there already. */
  readonly changed: boolean;
  /** "/dev/uioN", in user space. */
  readonly device: string | undefined;
}

/**
 * Gives a service's channel to user space; with `ifUnbound` only one that no driver has. Throws
 * BindingError.
 */
export const bind = (
  ports: BindingPorts,
  service: ServiceName,
  { ifUnbound = false }: { readonly ifUnbound?: boolean } = {},
): Promise<Moved> => move(ports, service, IN_USER_SPACE, ifUnbound);

/** Gives a service's channel back to the kernel's own driver. Throws BindingError. */
export const release = (ports: BindingPorts, service: ServiceName): Promise<Moved> =>
  move(ports, service, IN_KERNEL);

async function move(
  ports: BindingPorts,
  service: ServiceName,
  wanted: Place,
  ifUnbound = false,
): Promise<Moved> {
  const channel = find(ports, service);
  const from = ports.place(channel) ?? gone(service, channel);
  const to = ifUnbound && from.driver !== undefined ? from : wanted;
  try {
    await walk(ports, service, channel, to);
  } catch (error) {
    if (!(error instanceof BindingError) || error.code === 'absent') throw error;
    throw await undone(ports, service, channel, from, error);
  }
  return {
    service,
    channel,
    driver: to.driver!,
    previousDriver: from.driver,
    changed: from.driver !== to.driver || from.override !== to.override,
    device: ports.device(channel),
  };
}

function find(ports: BindingPorts, service: ServiceName): string {
  const [channel] = ports.find(SERVICE_CLASSES[service]);
  if (channel !== undefined) return channel;
  throw new BindingError(
    'absent',
    ports.hasVmbus
      ? `there is no VMBus channel for ${service}: the service is switched off for this ` +
          'virtual machine'
      : 'there is no VMBus: this is no Hyper-V guest, or the module hv_vmbus is not loaded',
  );
}

function gone(service: ServiceName, channel: string): never {
  throw new BindingError('absent', `the VMBus channel ${channel} of ${service} has just gone away`);
}

/**
 * A channel whose UIO device is open must not be unbound: the kernel closes it with its last user
 * only as long as it is bound, and then never (drivers/uio/uio.c, uio_release). No driver could
 * open it again.
 */
function checkUnused(ports: BindingPorts, service: ServiceName, channel: string): void {
  const device = ports.device(channel);
  const users = device === undefined ? [] : ports.users(device);
  if (users.length > 0) {
    throw new BindingError(
      'busy',
      `${service}: ${device} is in use by ${users.join(', ')}: stop it first`,
    );
  }
}

async function walk(
  ports: BindingPorts,
  service: ServiceName,
  channel: string,
  to: Place,
): Promise<void> {
  for (let taken = 0; ; taken++) {
    const at = ports.place(channel) ?? gone(service, channel);
    const step = nextStep(at, to, (driver) => ports.isLoaded(driver));
    if (!step) return;
    if (taken === MAX_STEPS) {
      throw new BindingError(
        'failed',
        `the channel of ${service} does not stay with ${to.driver}: ${describe(at)}`,
      );
    }
    if (step.action === 'unbind') checkUnused(ports, service, channel);
    try {
      await ports.take(step, channel);
    } catch (error) {
      const after = ports.place(channel) ?? gone(service, channel);
      // Somebody else moves it, too: another of us, or the kernel, which finds a driver for a
      // channel that has just come
      if (after.driver !== at.driver || after.override !== at.override) continue;
      throw explain(service, step, error as NodeJS.ErrnoException);
    }
  }
}

/**
 * Goes back the whole way, and where that is not possible to the kernel's own driver: a channel is
 * never left with nobody. The module that may have been loaded stays, since others may have begun
 * to use it.
 */
async function undone(
  ports: BindingPorts,
  service: ServiceName,
  channel: string,
  from: Place,
  why: BindingError,
): Promise<BindingError> {
  let problem = '';
  for (const back of [from, IN_KERNEL]) {
    try {
      await walk(ports, service, channel, back);
      if (problem === '') return why;
      break;
    } catch (error) {
      problem ||= (error as Error).message;
    }
  }
  const at = ports.place(channel);
  return new BindingError(
    why.code,
    `${why.message}. And it could not be put back where it was (${describe(from)}): ` +
      `${problem}; it is now ${at ? describe(at) : 'gone'}`,
    why.cause,
  );
}

const describe = ({ driver, override }: Place): string =>
  `bound to ${driver ?? 'no driver'}${override ? `, reserved for ${override}` : ''}`;

/** Not in errno.h: the kernel's own ENOTSUPP. */
const ENOTSUPP = 524;

function explain(service: ServiceName, step: Step, error: NodeJS.ErrnoException): BindingError {
  const fail = (code: BindingErrorCode, text: string): BindingError =>
    new BindingError(code, `${service}: ${text}`, error);
  if (error.code === 'EACCES' || error.code === 'EPERM' || error.code === 'EROFS') {
    return fail(
      'permission',
      `${error.message}${process.getuid?.() === 0 ? '' : '; try it as root (sudo)'}`,
    );
  }
  if (step.action === 'load') return fail('unable', error.message);
  if (step.action === 'override' && error.code === 'ENOENT') {
    return fail('unable', 'this kernel has no driver_override for VMBus channels');
  }
  if (step.action === 'bind') {
    if (Math.abs(error.errno ?? 0) === ENOTSUPP && step.driver === USER_SPACE_DRIVER) {
      return fail(
        'unable',
        `this kernel's ${USER_SPACE_DRIVER} takes no channel without a monitor page, and ` +
          'this one has none (error 524). ' +
          'Kernels from about 6.12 on do; until then the kernel itself answers this service',
      );
    }
    if (error.code === 'EINVAL') {
      return fail(
        'failed',
        'the channel is still open, though nobody has it: switch the service off and on at ' +
          'the host',
      );
    }
    if (error.code === 'ENODEV')
      return fail('unable', `${step.driver} of this kernel does not take this channel`);
  }
  const what = step.action === 'override' ? 'driver_override' : `${step.action} ${step.driver}`;
  return fail('failed', `${what}: ${error.message}`);
}
