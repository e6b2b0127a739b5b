import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { SERVICE_CLASSES, type ServiceName } from '../../../protocol/ic/classes.ts';
import { SysfsVmbus } from '../../../runtime/vmbus/index.ts';
import type { Place, Step } from '../../../runtime/vmbus/plan.ts';

export const CHANNEL = 'fd149e91-82e0-4a7d-afa6-2a4166cbd7c0';

/** A kernel's refusal, as Node gives it. */
export function errno(code: string, number: number): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: refused, write`), { code, errno: -number });
}

/** A folder that looks like /sys of a guest, with one channel. */
export class FakeSysfs {
  readonly root = fs.mkdtempSync(path.join(os.tmpdir(), 'vmic-sysfs-'));

  constructor(place: Partial<Place> = { driver: 'hv_utils' }, service: ServiceName = 'heartbeat') {
    fs.mkdirSync(this.path('devices', CHANNEL), { recursive: true });
    this.write('devices', CHANNEL, 'class_id', `{${SERVICE_CLASSES[service]}}\n`);
    this.write('devices', CHANNEL, 'driver_override', `${place.override ?? '(null)'}\n`);
    // Others, to be passed by
    fs.mkdirSync(this.path('devices', '00000000-0000-0000-0000-00000000cafe'));
    fs.mkdirSync(this.path('devices', 'aaaaaaaa-1111-0000-0000-000000000000'));
    this.write(
      'devices',
      'aaaaaaaa-1111-0000-0000-000000000000',
      'class_id',
      '{f8615163-df3e-46c5-913f-f2d2f965ed0e}\n',
    );
    fs.mkdirSync(this.path('drivers'));
    this.addDriver('hv_utils');
    if (place.driver === undefined) return;
    this.addDriver(place.driver);
    this.#put(place.driver);
  }

  get proc(): string {
    return path.join(this.root, 'proc');
  }

  /** A process that has a file open. */
  addProcess(pid: number, name: string, open: string): void {
    const folder = path.join(this.proc, String(pid));
    fs.mkdirSync(path.join(folder, 'fd'), { recursive: true });
    fs.writeFileSync(path.join(folder, 'comm'), `${name}\n`);
    fs.symlinkSync('/dev/null', path.join(folder, 'fd/0'));
    fs.symlinkSync(open, path.join(folder, 'fd/17'));
  }

  path(...parts: string[]): string {
    return path.join(this.root, 'bus/vmbus', ...parts);
  }

  write(...parts: string[]): void {
    fs.writeFileSync(this.path(...parts.slice(0, -1)), parts.at(-1)!);
  }

  read(...parts: string[]): string {
    return fs.readFileSync(this.path(...parts), 'utf8');
  }

  addDriver(driver: string): void {
    fs.mkdirSync(this.path('drivers', driver), { recursive: true });
    for (const file of ['bind', 'unbind']) this.write('drivers', driver, file, '');
  }

  removeDriver(driver: string): void {
    fs.rmSync(this.path('drivers', driver), { recursive: true, force: true });
  }

  /** The host takes the channel away. */
  rescind(): void {
    fs.rmSync(this.path('devices', CHANNEL), { recursive: true, force: true });
  }

  /** What a kernel does with what was written (drivers/base/bus.c). */
  react(step: Step): void {
    if (step.action === 'override')
      this.write('devices', CHANNEL, 'driver_override', `${step.driver ?? '(null)'}\n`);
    else if (step.action === 'unbind') this.#put(undefined);
    else if (step.action === 'bind') {
      const override = this.read('devices', CHANNEL, 'driver_override').trim();
      if (override === '(null)' ? step.driver !== 'hv_utils' : step.driver !== override)
        throw errno('ENODEV', 19);
      if (fs.existsSync(this.path('devices', CHANNEL, 'driver'))) throw errno('EBUSY', 16);
      this.#put(step.driver);
    }
  }

  /**
   * Takes a channel that nobody has and that is not reserved, as a driver does when its module is
   * loaded.
   */
  autoBind(driver: string): void {
    if (fs.existsSync(this.path('devices', CHANNEL, 'driver'))) return;
    if (driver === 'hv_utils' && this.read('devices', CHANNEL, 'driver_override') === '(null)\n')
      this.#put(driver);
  }

  #put(driver: string | undefined): void {
    fs.rmSync(this.path('devices', CHANNEL, 'driver'), { force: true });
    fs.rmSync(this.path('devices', CHANNEL, 'uio'), { recursive: true, force: true });
    if (driver === undefined) return;
    fs.symlinkSync(`../../drivers/${driver}`, this.path('devices', CHANNEL, 'driver'));
    if (driver === 'uio_hv_generic')
      fs.mkdirSync(this.path('devices', CHANNEL, 'uio/uio7'), { recursive: true });
  }

  dispose(): void {
    fs.rmSync(this.root, { recursive: true, force: true });
  }
}

/** Our code on that folder, with a kernel behind it. */
export class FakeVmbus extends SysfsVmbus {
  readonly tree: FakeSysfs;
  readonly taken: string[] = [];
  /** Called before each step; what it throws is what the kernel answers. */
  onStep: (step: Step) => void = () => {};
  /** False: what is written has no effect. */
  react = true;

  constructor(tree: FakeSysfs) {
    super({ sysfs: tree.root, proc: tree.proc });
    this.tree = tree;
  }

  override async take(step: Step, channel: string): Promise<void> {
    this.taken.push(`${step.action} ${step.driver ?? '-'}`);
    this.onStep(step);
    if (step.action === 'load') {
      this.tree.addDriver(step.driver);
      this.tree.autoBind(step.driver);
      return;
    }
    await super.take(step, channel);
    if (this.react) this.tree.react(step);
  }
}
