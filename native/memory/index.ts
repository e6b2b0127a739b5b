/**
 * The contract of `interface.ts` in memory, for tests: the far side of every channel is an object
 * in the same process, locks and notifications are recorded, and what the kernel would report is
 * scripted. Files stay real, as the callers open them with node:fs.
 */
import type { Native } from '../interface.ts';
import { MemoryClocks } from './clocks.ts';
import { MemoryDatagrams } from './datagrams.ts';
import { Descriptors } from './descriptors.ts';
import { MemoryFiles } from './files.ts';
import { FOLDERS } from './folders.ts';
import { Listeners } from './listeners.ts';
import { MemoryLocks } from './locks.ts';
import { MemoryMessageChannels } from './message-channels.ts';
import { MemoryPrograms } from './programs.ts';
import { MemoryRingChannels } from './ring-channels.ts';
import { MemoryWatches } from './watches.ts';

export { nativeError } from './native-error.ts';
export type { PlayedProgram } from './program.ts';

/**
 * `Native` in memory, and the handles by which a test plays the kernel and the host. Each handle is
 * described where it is made.
 */
export class MemoryNative implements Native {
  readonly #descriptors = new Descriptors();
  readonly #listeners = new Listeners();
  readonly #messages = new MemoryMessageChannels(this.#descriptors, this.#listeners);
  readonly #rings = new MemoryRingChannels(this.#descriptors, this.#listeners);
  readonly #clocks = new MemoryClocks();
  readonly #datagrams = new MemoryDatagrams();
  readonly #files = new MemoryFiles();
  readonly #locks = new MemoryLocks();
  readonly #programs = new MemoryPrograms(this.#descriptors);
  readonly #watches = new MemoryWatches();

  // ---- what a test scripts and looks at ----

  readonly addMessageDevice = this.#messages.addMessageDevice;
  readonly addUio = this.#rings.addUio;
  /** Opening `path` fails with ENOENT from now on; what is open stays open. */
  readonly removeDevice = (path: string): void => {
    this.#messages.removeDevice(path);
    this.#rings.removeDevice(path);
  };
  readonly refuseNextWrite = this.#messages.refuseNextWrite;
  readonly breakRing = this.#rings.breakRing;

  readonly clock = this.#clocks.clock;
  readonly clockAdjustments = this.#clocks.adjustments;
  readonly registers = this.#clocks.registers;

  readonly notifications = this.#datagrams.notifications;
  readonly datagrams = this.#datagrams.sent;
  readonly hearDatagrams = this.#datagrams.hear;

  readonly lockByOther = this.#locks.byOther;
  readonly lockOf = this.#locks.of;

  readonly programs = this.#programs.played;

  readonly directoryChanged = this.#watches.directoryChanged;
  readonly addressesChanged = this.#watches.addressesChanged;

  /** CLOCK_MONOTONIC_RAW. */
  get rawNs(): bigint {
    return this.#clocks.rawNs;
  }
  set rawNs(value: bigint) {
    this.#clocks.rawNs = value;
  }

  /** The errno's name that `adjustClock` fails with: EPERM is a process without CAP_SYS_TIME. */
  get refuseAdjustments(): string | undefined {
    return this.#clocks.refusal;
  }
  set refuseAdjustments(code: string | undefined) {
    this.#clocks.refusal = code;
  }

  /** What `notify` returns. */
  get notifyHeard(): boolean {
    return this.#datagrams.notifyHeard;
  }
  set notifyHeard(heard: boolean) {
    this.#datagrams.notifyHeard = heard;
  }

  // ---- the contract ----

  readonly openMessageDevice = this.#messages.openMessageDevice;
  readonly connectMessageSocket = this.#messages.connectMessageSocket;
  readonly adoptMessageChannel = this.#messages.adoptMessageChannel;
  readonly openUio = this.#rings.openUio;
  readonly adoptRingChannel = this.#rings.adoptRingChannel;
  readonly connectRingSocket = this.#rings.connectRingSocket;
  readonly hostRing = this.#rings.hostRing;
  readonly ringMemory = this.#rings.ringMemory;
  readonly listen = this.#listeners.listen;

  readonly readClocks = this.#clocks.readClocks;
  readonly readRegister = this.#clocks.readRegister;
  readonly readClockState = this.#clocks.readClockState;
  readonly adjustClock = this.#clocks.adjustClock;

  readonly notify = this.#datagrams.notify;
  readonly sendDatagram = this.#datagrams.sendDatagram;

  readonly isMarked = this.#files.isMarked;
  readonly mark = this.#files.mark;
  readonly openSink = this.#files.openSink;
  readonly stat = this.#files.stat;
  readonly writeWhole = this.#files.writeWhole;
  readonly removeRange = this.#files.removeRange;

  readonly openFolder = FOLDERS.openFolder;
  readonly makeFolder = FOLDERS.makeFolder;
  readonly createFile = FOLDERS.createFile;
  readonly nameFile = FOLDERS.nameFile;
  readonly renameFile = FOLDERS.renameFile;
  readonly removeFile = FOLDERS.removeFile;
  readonly removeFolder = FOLDERS.removeFolder;
  readonly statEntry = FOLDERS.statEntry;
  readonly copyOwnership = FOLDERS.copyOwnership;

  readonly tryLock = this.#locks.tryLock;
  readonly unlock = this.#locks.unlock;

  readonly startProgram = this.#programs.startProgram;

  readonly watchDirectory = this.#watches.watchDirectory;
  readonly watchAddresses = this.#watches.watchAddresses;
}
