import { execFile } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { listFolder, readLink, readTrimmed } from '../files.ts';
import type { Place, Step } from './plan.ts';

/** What moving a channel needs of the system. */
export interface BindingPorts {
  /** False: there is no VMBus at all. */
  readonly hasVmbus: boolean;
  /** Names of the channels of a class (their instance GUIDs). */
  find(classId: string): readonly string[];
  /** Undefined: the channel is gone. */
  place(channel: string): Place | undefined;
  isLoaded(driver: string): boolean;
  /**
   * Throws what the system calls throw; a module that can't be loaded is an Error with what
   * modprobe said.
   */
  take(step: Step, channel: string): Promise<void>;
  /** "/dev/uioN" of a channel in user space, once there is one. */
  device(channel: string): string | undefined;
  /** Processes that have the device open, in words. */
  users(device: string): readonly string[];
}

const MODPROBE_TIMEOUT_MS = 30_000;

/** A name that can't lead out of its folder. */
const isName = (name: string): boolean => /^[\w-]+$/.test(name);

/**
 * The driver model in sysfs. Sources: Documentation/ABI/stable/sysfs-bus-vmbus; drivers/base/bus.c
 * (bind, unbind); driver_override reads "(null)" where there is none and is cleared by an empty
 * line (drivers/base/driver.c, driver_set_override).
 */
export class SysfsVmbus implements BindingPorts {
  readonly #bus: string;
  readonly #modprobe: string;
  readonly #proc: string;

  constructor({ sysfs = '/sys', proc = '/proc', modprobe = 'modprobe' } = {}) {
    this.#bus = path.join(sysfs, 'bus/vmbus');
    this.#proc = proc;
    this.#modprobe = modprobe;
  }

  get hasVmbus(): boolean {
    return fs.existsSync(path.join(this.#bus, 'devices'));
  }

  find(classId: string): readonly string[] {
    return listFolder(path.join(this.#bus, 'devices')).filter(
      (name) =>
        isName(name) &&
        readTrimmed(this.#device(name, 'class_id'))?.toLowerCase() === `{${classId}}`,
    );
  }

  place(channel: string): Place | undefined {
    if (readTrimmed(this.#device(channel, 'class_id')) === undefined) return undefined;
    const override = readTrimmed(this.#device(channel, 'driver_override'));
    const driver = readLink(this.#device(channel, 'driver'));
    return {
      driver: driver && path.basename(driver),
      override:
        override === undefined || override === '' || override === '(null)' ? undefined : override,
    };
  }

  isLoaded(driver: string): boolean {
    return fs.existsSync(this.#driver(driver, 'bind'));
  }

  async take(step: Step, channel: string): Promise<void> {
    switch (step.action) {
      case 'load':
        return this.#load(step.driver);
      case 'override':
        return write(this.#device(channel, 'driver_override'), `${step.driver ?? ''}\n`);
      case 'unbind':
      case 'bind':
        return write(this.#driver(step.driver, step.action), channel);
    }
  }

  device(channel: string): string | undefined {
    const name = listFolder(this.#device(channel, 'uio')).find((entry) => /^uio\d+$/.test(entry));
    return name === undefined ? undefined : `/dev/${name}`;
  }

  users(device: string): readonly string[] {
    return listFolder(this.#proc).flatMap((pid) => {
      if (!/^\d+$/.test(pid)) return [];
      const folder = path.join(this.#proc, pid, 'fd');
      const isOpen = listFolder(folder).some((fd) => readLink(path.join(folder, fd)) === device);
      return isOpen
        ? [`process ${pid} (${readTrimmed(path.join(this.#proc, pid, 'comm')) ?? 'unknown'})`]
        : [];
    });
  }

  #device(channel: string, file: string): string {
    return path.join(this.#bus, 'devices', channel, file);
  }

  #driver(driver: string, file: string): string {
    return path.join(this.#bus, 'drivers', driver, file);
  }

  #load(module: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const options = {
        timeout: MODPROBE_TIMEOUT_MS,
        env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' },
      };
      execFile(this.#modprobe, ['--', module], options, (error, _stdout, stderr) => {
        if (!error) return resolve();
        const why = stderr.trim().replace(/\s+/g, ' ') || error.message;
        reject(new Error(`the module ${module} can't be loaded: ${why}`));
      });
    });
  }
}

/** In one write and without creating the file, as attributes in sysfs want it. */
function write(file: string, text: string): void {
  const fd = fs.openSync(file, fs.constants.O_WRONLY);
  try {
    fs.writeSync(fd, text);
  } finally {
    fs.closeSync(fd);
  }
}
