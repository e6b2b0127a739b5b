import fs from 'node:fs';
import path from 'node:path';
import { type Native, READING_SLOTS, ReadingSlot } from '../../native/interface.ts';
import { SimulatedClock } from '../../native/memory/simulated-clock.ts';
import { listFolder, readText, statFile } from '../../runtime/files.ts';
import type { Log } from '../../runtime/log.ts';
import type { Surroundings } from './choose.ts';
import { type ConfigurationFiles, readRefclocks } from './chrony.ts';
import type { ClockReading, Receipt } from './discipline.ts';
import type { Clock, ReferenceCounter } from './ports.ts';

type ClockCalls = Pick<Native, 'readClocks' | 'readClockState' | 'adjustClock'>;

function clockOf(kind: Clock['kind'], calls: ClockCalls): Clock {
  const slots = new BigInt64Array(READING_SLOTS);
  return {
    kind,
    read(): ClockReading {
      calls.readClocks(slots);
      return { realtimeNs: slots[ReadingSlot.value]!, rawNs: slots[ReadingSlot.monotonicRawNs]! };
    },
    state: () => calls.readClockState(),
    adjust: (adjustment) => calls.adjustClock(adjustment),
  };
}

/** The machine's clock. */
export const systemClock = (native: ClockCalls): Clock => clockOf('system', native);

/**
 * A clock of our own that starts `errorMs` off the machine's, and counts `speed` seconds in one:
 * its raw clock is the machine's times `speed`. It is given no means to change the machine's.
 */
export function simulatedClock(
  native: Pick<Native, 'readClocks'>,
  errorMs: number,
  speed: number,
): Clock {
  const machine = clockOf('system', {
    readClocks: (into) => native.readClocks(into),
    readClockState: () => ({ frequencyPpm: 0, slewUs: 0, synchronized: false }),
    adjustClock: () => {},
  });
  const startNs = machine.read().realtimeNs + BigInt(errorMs) * 1_000_000n;
  return clockOf(
    'simulated',
    new SimulatedClock(() => machine.read().rawNs * BigInt(speed), startNs),
  );
}

/**
 * HV_X64_MSR_TIME_REF_COUNT (source: Hypervisor Top-Level Functional Specification, partition
 * reference counter).
 */
const REFERENCE_COUNTER_MSR = 0x4000_0020;
/** From here on the pace of the register can be told from that of any other. */
const MIN_PROOF_NS = 100_000_000n;
const MAX_PACE_ERROR = 0.01;
/** Name of the descriptor when systemd opens the device for us (OpenFile=). */
const DESCRIPTOR_NAME = 'reference-counter';
const FIRST_INHERITED_FD = 3;

/**
 * The reference counter through the msr device, which takes CAP_SYS_RAWIO to open, but not to read:
 * systemd can open it for us. On a hypervisor that does not know the register it reads 0 or fails;
 * it is used once it has advanced by 100 ns units, as the raw clock does.
 */
export class MsrCounter implements ReferenceCounter {
  readonly #native: Pick<Native, 'readRegister'>;
  readonly #log: Pick<Log, 'info'>;
  readonly #slots = new BigInt64Array(READING_SLOTS);
  readonly #ownFd: number | undefined;
  #fd: number | undefined;
  #first: Receipt['counter'];
  #proved = false;

  constructor(
    native: Pick<Native, 'readRegister'>,
    device: string,
    env: NodeJS.ProcessEnv,
    log: Pick<Log, 'info'>,
  ) {
    this.#native = native;
    this.#log = log;
    this.#fd = inheritedFd(env);
    if (this.#fd === undefined && device !== '') {
      try {
        this.#fd = this.#ownFd = fs.openSync(device, 'r');
      } catch (error) {
        this.#doWithout(error);
      }
    }
    this.#first = this.#read();
  }

  read(): Receipt['counter'] {
    const now = this.#read();
    const first = this.#first;
    if (!now || !first) return undefined;
    if (!this.#proved) {
      const elapsedNs = now.rawNs - first.rawNs;
      if (elapsedNs < MIN_PROOF_NS) return undefined;
      const pace = Number((now.value100ns - first.value100ns) * 100n) / Number(elapsedNs);
      if (Math.abs(pace - 1) > MAX_PACE_ERROR) {
        this.#doWithout(`the register advances at ${pace.toFixed(3)} times the pace of time`);
        return undefined;
      }
      this.#proved = true;
    }
    return now;
  }

  close(): void {
    if (this.#fd !== undefined && this.#fd === this.#ownFd) fs.closeSync(this.#fd);
    this.#fd = undefined;
  }

  #doWithout(why: unknown): void {
    this.close();
    this.#log.info(
      "The reference counter can't be read; samples are compared with each other instead",
      { why },
    );
  }

  #read(): Receipt['counter'] {
    if (this.#fd === undefined) return undefined;
    try {
      this.#native.readRegister(this.#fd, REFERENCE_COUNTER_MSR, this.#slots);
    } catch (error) {
      this.#doWithout(error);
      return undefined;
    }
    return {
      value100ns: this.#slots[ReadingSlot.value]!,
      rawNs: this.#slots[ReadingSlot.monotonicRawNs]!,
    };
  }
}

function inheritedFd(env: NodeJS.ProcessEnv): number | undefined {
  if (env['LISTEN_PID'] !== String(process.pid)) return undefined;
  const index = (env['LISTEN_FDNAMES'] ?? '').split(':').indexOf(DESCRIPTOR_NAME);
  return index >= 0 ? FIRST_INHERITED_FD + index : undefined;
}

/** Where distributions keep chronyd's configuration. */
const CHRONY_CONFIGURATIONS = ['/etc/chrony/chrony.conf', '/etc/chrony.conf'];

/** Looks at what else runs. `root` is "/" but in tests. */
export function lookAround(chronySocket: string, root = '/'): Surroundings {
  const files: ConfigurationFiles = {
    read: (file) => readText(path.join(root, file)),
    list: (folder) => listFolder(path.join(root, folder)),
  };
  const processNames = new Set<string>();
  for (const name of files.list('/proc')) {
    if (/^\d+$/.test(name)) processNames.add(files.read(`/proc/${name}/comm`)?.trimEnd() ?? '');
  }
  const configuration = CHRONY_CONFIGURATIONS.find((file) => files.read(file) !== undefined);
  return {
    processNames,
    chronySocketExists: statFile(path.join(root, chronySocket))?.isSocket() ?? false,
    refclocks: configuration === undefined ? [] : readRefclocks(files, configuration),
  };
}
