import { nativeError } from './native-error.ts';

interface Device<Channel> {
  readonly accept: (host: Channel) => void;
  isBusy: boolean;
}

/** A device that is open. */
export interface OpenDevice<Channel> {
  /** Tells the test that added the device of the host's end. */
  readonly accept: (host: Channel) => void;
  /** Closes the device, so that it can be opened again. */
  readonly release: () => void;
}

/** Devices of one kind by their paths. Each can be open once at a time. */
export class Devices<Channel> {
  private readonly devices = new Map<string, Device<Channel>>();

  add(path: string, accept: (host: Channel) => void): void {
    this.devices.set(path, { accept, isBusy: false });
  }

  /** What is open stays open. */
  remove(path: string): void {
    this.devices.delete(path);
  }

  /** Throws if the device is missing or open already. */
  open(path: string): OpenDevice<Channel> {
    const device = this.devices.get(path);
    if (device === undefined) throw nativeError('ENOENT', 'open', path);
    if (device.isBusy) throw nativeError('EBUSY', 'open', path);
    device.isBusy = true;
    return {
      accept: device.accept,
      release: () => {
        device.isBusy = false;
      },
    };
  }
}
